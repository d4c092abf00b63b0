/** Where WebSockets are blocked: a link of one `EventStream` for each stream. It has no presence. */

import { EventStream } from "./eventstream.js";
import type { From } from "./events.js";
import type { Fate, Link, Sink } from "./link.js";

export class StreamsLink implements Link {
  readonly #url: string;
  readonly #fate: Fate;
  readonly #streams = new Map<string, EventStream>();

  constructor(url: string, fate: Fate) {
    this.#url = url;
    this.#fate = fate;
  }

  follow(stream: string, from: From, sink: Sink): void {
    this.leave(stream);
    const lost = (why: string): void => {
      this.close();
      this.#fate.lost(why);
    };
    this.#streams.set(stream, new EventStream(this.#url, stream, from, sink, lost));
  }

  leave(stream: string): void {
    this.#streams.get(stream)?.close();
    this.#streams.delete(stream);
  }

  join(): void {
    // Nobody can be told.
  }

  check(): void {
    // Each stream watches its own silence.
  }

  close(): void {
    for (const one of this.#streams.values()) one.close();
    this.#streams.clear();
  }
}
