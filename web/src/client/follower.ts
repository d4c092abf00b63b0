/** One who follows a stream: where it stands, and what it is told. */

import type { EventStream } from "./eventstream.js";
import type { From, Item, Position } from "./events.js";
import type { Handlers, HubError } from "./hub.js";
import { offsetOf } from "./position.js";

/** A follower's handlers; `placed` says where it stands before it is given anything. */
export interface Told extends Handlers {
  placed?(position: Position): void;
}

export class Follower {
  /** The next it wants: where it stands, once that is known. */
  at: From;
  /** It stands where its feed stands. */
  joined = false;
  /** What it reads by itself until then. */
  reading: EventStream | undefined;
  failures = 0;
  #told: Told | undefined;
  #lag: number | undefined;

  constructor(from: From, told: Told) {
    this.at = from;
    this.#told = told;
  }

  place(position: Position): void {
    this.at = position;
    this.#tell((told) => told.placed?.(position));
  }

  give(items: readonly Item[], tail: Position | undefined): void {
    const { at } = this;
    const news = at === "start" || at === "now" ? items : items.filter(({ position }) => position > at);
    const last = news.at(-1);
    if (last) {
      this.at = last.position;
      this.#tell((told) => { told.items(news); });
    }
    if (tail === undefined || this.at === "start") return;
    const lag = Math.max(0, offsetOf(tail) - offsetOf(this.at));
    if (lag !== this.#lag) this.#tell((told) => told.lag?.((this.#lag = lag)));
  }

  reset(position: Position, reason: string): void {
    this.at = position;
    this.#tell((told) => told.reset?.(position, reason));
  }

  wait(): void {
    this.#tell((told) => told.waiting?.());
  }

  end(): void {
    this.#tell((told) => told.closed?.());
  }

  fail(error: HubError): void {
    this.#tell((told) => told.failed?.(error));
  }

  /** It is told nothing any more. */
  stop(): void {
    this.rest();
    this.#told = undefined;
  }

  /** It reads nothing by itself. */
  rest(): void {
    this.reading?.close();
    this.reading = undefined;
  }

  /** A mistake in one follower's handlers must not keep the others from being told. */
  #tell(tell: (told: Told) => void): void {
    try {
      if (this.#told) tell(this.#told);
    } catch (error) {
      queueMicrotask(() => { throw error; });
    }
  }
}
