/**
 * One `follow` of a page, whatever it has its streams from: it stands somewhere, and goes on from
 * there when it is moved to another source.
 */

import type { From, Position } from "./events.js";
import type { Handlers } from "./hub.js";
import { offsetOf } from "./position.js";
import type { Source } from "./source.js";

/** Events of several records of which it is known where they began. */
const JOINED = 1000;

export class Following {
  readonly #stream: string;
  readonly #handlers: Handlers;
  readonly #over: () => void;
  /** Where events begin and end that are several records, the newest of them. */
  readonly #joined: (readonly [From, Position])[] = [];
  #from: From;
  #stopped = false;
  #stop: (() => void) | undefined;

  /** `over` is called when it is told nothing any more. */
  constructor(stream: string, from: From, handlers: Handlers, over: () => void) {
    this.#stream = stream;
    this.#from = from;
    this.#handlers = handlers;
    this.#over = over;
  }

  attach(source: Source): void {
    this.#stop?.();
    const told = this.#handlers;
    this.#stop = source.follow(this.#stream, this.#from, {
      placed: (position) => { this.#from = position; },
      items: (items) => {
        for (const { position } of items) this.#goOn(position);
        told.items(items);
      },
      reset: (position, reason) => {
        this.#goBack(position);
        const inside = this.#from !== position;
        told.reset?.(this.#from, reason);
        if (inside && !this.#stopped) this.attach(source);
      },
      lag: (records) => { told.lag?.(records); },
      waiting: () => { told.waiting?.(); },
      closed: () => {
        this.#over();
        told.closed?.();
      },
      failed: (error) => {
        this.#over();
        told.failed?.(error);
      },
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#over();
    this.#stop?.();
  }

  #goOn(position: Position): void {
    if (offsetOf(position) - offsetOf(this.#from) > 1) {
      this.#joined.push([this.#from, position]);
      if (this.#joined.length > JOINED) this.#joined.shift();
    }
    this.#from = position;
  }

  /**
   * To a position, or, if that lies inside an event, to where the event began: all of it is to be
   * forgotten then, and read again. No hub of today sends a reader there.
   */
  #goBack(position: Position): void {
    this.#from = position;
    const offset = offsetOf(position);
    for (let last; (last = this.#joined.at(-1)) && offsetOf(last[1]) > offset; this.#joined.pop())
      if (offsetOf(last[0]) < offset) [this.#from] = last;
  }
}
