/**
 * One `follow` of a page, whatever it has its streams from: it stands somewhere, and goes on from
 * there when it is moved to another source.
 */

import type { From } from "./events.js";
import type { Handlers } from "./hub.js";
import type { Source } from "./source.js";

export class Following {
  readonly #stream: string;
  readonly #handlers: Handlers;
  readonly #over: () => void;
  #from: From;
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
        this.#from = items.at(-1)?.position ?? this.#from;
        told.items(items);
      },
      reset: (position, reason) => {
        this.#from = position;
        told.reset?.(position, reason);
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
    this.#over();
    this.#stop?.();
  }
}
