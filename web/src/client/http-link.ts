/** A link for networks that block WebSockets, with one HTTP response for each stream. */

import { HubError } from "../protocol/errors.js";
import type { From, HubEvent, Item, Position } from "../protocol/events.js";
import { type Link, type LinkEvents, PATIENCE, SILENCE, type Sink } from "../protocol/frames.js";
import { type ServerEvent, ServerEvents } from "../protocol/sse.js";
import { escaped, request } from "./commands.js";

/** One stream as server-sent events, read with `fetch`, like a subscription of a WebSocket. */
export class EventStream {
  readonly #abort = new AbortController();
  readonly #sink: Sink;
  readonly #lost: (why: string) => void;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** `lost` is called once when it breaks off, unless the stream has ended or was refused. */
  constructor(url: string, stream: string, from: From, sink: Sink, lost: (why: string) => void) {
    this.#sink = sink;
    this.#lost = lost;
    void this.#read(`${url}v1/live/${escaped(stream)}?format=sse&wait=true&from=${encodeURIComponent(from)}`);
  }

  close(): void {
    this.#ended = true;
    clearTimeout(this.#watch);
    this.#abort.abort();
  }

  /** Check this after every callback, which may have closed it. */
  #over(): boolean {
    return this.#ended;
  }

  async #read(url: string): Promise<void> {
    let why = "the stream broke off";
    try {
      this.#expect(PATIENCE);
      const answer = await request(url, { signal: this.#abort.signal, headers: { Accept: "text/event-stream" } });
      if (this.#over()) return;
      const position = answer.headers.get("Stream-Next-Offset") ?? undefined;
      this.#sink.begun(position, undefined);
      if (answer.status === 204) this.#end();
      else if (answer.body) await this.#follow(answer.body.getReader());
    } catch (error) {
      if (this.#over()) return;
      if (error instanceof HubError) {
        if (error.status) {
          this.close();
          this.#sink.refused(error);
          return;
        }
        why = error.message;
      }
    }
    if (this.#over()) return;
    this.close();
    this.#lost(why);
  }

  async #follow(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    const parser = new ServerEvents();
    for (;;) {
      this.#expect(SILENCE);
      const { done, value } = await reader.read();
      if (done || this.#over()) return;
      this.#tell(parser.feed(value), value.length);
    }
  }

  #tell(events: readonly ServerEvent[], size: number): void {
    let items: Item[] = [];
    const flush = (): void => {
      if (items.length) this.#sink.items(items, size);
      items = [];
    };
    for (const { name, text, id } of events) {
      if (this.#over()) return;
      const held = JSON.parse(text) as unknown;
      if (name === "") {
        items.push({ event: held as HubEvent, position: id });
        continue;
      }
      flush();
      const { position, reason } = held as { position: Position; reason: string };
      if (name === "reset") this.#sink.reset(position, reason);
      else if (name === "closed") this.#end();
    }
    if (!this.#over()) flush();
  }

  #end(): void {
    this.close();
    this.#sink.closed();
  }

  #expect(within: number): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      this.close();
      this.#lost("the hub stopped responding");
    }, within);
  }
}

/** This link does not support presence. */
export class HttpLink implements Link {
  readonly #url: string;
  readonly #events: LinkEvents;
  readonly #streams = new Map<string, EventStream>();

  constructor(url: string, events: LinkEvents) {
    this.#url = url;
    this.#events = events;
  }

  follow(stream: string, from: From, sink: Sink): void {
    this.leave(stream);
    const lost = (why: string): void => {
      this.close();
      this.#events.lost(why);
    };
    this.#streams.set(stream, new EventStream(this.#url, stream, from, sink, lost));
  }

  leave(stream: string): void {
    this.#streams.get(stream)?.close();
    this.#streams.delete(stream);
  }

  join(): void {
    // Presence is not supported.
  }

  check(): void {
    // Each stream detects its own silence.
  }

  close(): void {
    for (const one of this.#streams.values()) one.close();
    this.#streams.clear();
  }
}
