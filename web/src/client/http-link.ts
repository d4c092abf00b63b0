/**
 * A link for networks that block WebSockets: one standing response of `POST /v1/follow` for all
 * streams, because a browser opens few connections to a host. When other streams are wanted it is
 * ended and asked for again, from the positions that were reached.
 */

import { HubError } from "../protocol/errors.js";
import type { From } from "../protocol/events.js";
import { deliver, type Link, type LinkEvents, PATIENCE, type ServerFrame, SILENCE, type Sink } from "../protocol/frames.js";
import { ZERO } from "../protocol/position.js";
import { request } from "./commands.js";
import type { Token } from "./token.js";

/** How long further changes are waited for, in milliseconds. */
const SOON = 20;

/** A response that lasted this long, in milliseconds, may end. */
const LASTING = 1_000;

/** After this silence a working response is asked for again, if somebody wants to be sure. */
const QUIET = 20_000;

interface Followed {
  /** Where to go on. */
  from: From;
  readonly sink: Sink;
}

/** This link does not support presence. */
export class HttpLink implements Link {
  readonly #url: string;
  readonly #events: Pick<LinkEvents, "lost" | "denied">;
  readonly #token: Token | undefined;
  readonly #streams = new Map<string, Followed>();
  /** The current request. */
  #asked: AbortController | undefined;
  /** It has not been answered yet. */
  #opening = false;
  #stale = false;
  #heard = 0;
  #after: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, events: Pick<LinkEvents, "lost" | "denied">, token?: Token) {
    this.#url = url;
    this.#events = events;
    this.#token = token;
  }

  follow(stream: string, from: From, sink: Sink): void {
    this.#streams.set(stream, { from, sink });
    this.#renew();
  }

  leave(stream: string): void {
    if (this.#streams.delete(stream)) this.#renew();
  }

  join(): void {
    // Presence is not supported.
  }

  check(): void {
    if (Date.now() - this.#heard > QUIET) this.#renew();
  }

  close(): void {
    this.#streams.clear();
    this.#stop();
  }

  /** Ask again soon; one request is answered before the next, or none would be while many change. */
  #renew(): void {
    this.#stale = true;
    if (!this.#opening) this.#timer ??= setTimeout(() => { void this.#ask(); }, SOON);
  }

  async #ask(): Promise<void> {
    this.#stop();
    const streams = new Map(this.#streams);
    if (!streams.size) return;
    const asked = (this.#asked = new AbortController());
    const began = (this.#heard = Date.now());
    let why = "the stream broke off";
    this.#opening = true;
    this.#expect(PATIENCE);
    try {
      const body = JSON.stringify([...streams].map(([stream, { from }]) => ({ stream, from, wait: true })));
      const headers = { Accept: "text/event-stream", "Content-Type": "application/json" };
      const answer = await request(`${this.#url}v1/follow`, { method: "POST", headers, body, signal: asked.signal }, this.#token);
      if (asked !== this.#asked) return;
      this.#opening = false;
      if (this.#stale) this.#renew();
      const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        this.#expect(SILENCE);
        const { done, value } = (await reader?.read()) ?? { done: true };
        if (asked !== this.#asked) return;
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop() ?? "";
        // Each event has one line of data.
        for (const line of lines) if (line.startsWith("data:")) this.#hear(line.slice(5), streams);
      }
      // If it ended as it should, with the last of its streams or after a while, others are asked for.
      if (!this.#streams.size || (this.#after === undefined && Date.now() - began > LASTING)) {
        this.#renew();
        return;
      }
    } catch (error) {
      if (asked !== this.#asked) return;
      if (error instanceof HubError) {
        if (error.status === 401) {
          this.close();
          this.#events.denied(error);
          return;
        }
        why = error.message;
      }
    }
    this.#lose(why);
  }

  #hear(text: string, streams: ReadonlyMap<string, Followed>): void {
    const frame = JSON.parse(text) as ServerFrame;
    this.#heard = Date.now();
    if (frame.type === "draining") this.#after = frame.retry_ms;
    const followed = streams.get(frame.stream);
    // Not if it has been left, or is to be followed from elsewhere.
    if (!followed || followed !== this.#streams.get(frame.stream)) return;
    const { type, position, tail } = frame;
    // What does not exist yet is read from its first record on, however often it is asked for.
    if (position !== undefined) followed.from = position ?? ZERO;
    if (type === "closed" || type === "error") this.#streams.delete(frame.stream);
    if (type === "ok") followed.sink.begun(position, tail);
    else deliver(frame, followed.sink, text.length);
  }

  #expect(within: number): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => { this.#lose("the hub stopped responding"); }, within);
  }

  #lose(why: string): void {
    this.close();
    this.#events.lost(why, this.#after);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    this.#timer = undefined;
    this.#opening = this.#stale = false;
    const asked = this.#asked;
    this.#asked = undefined;
    asked?.abort();
  }
}
