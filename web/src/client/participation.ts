/** One `presence` of a page, whatever it has its streams from. */

import type { Member, Presence } from "./hub.js";
import type { Source } from "./source.js";

export class Participation implements Presence {
  readonly #stream: string;
  readonly #changed: (members: readonly Member[]) => void;
  readonly #over: () => void;
  #state: unknown;
  #presence: Presence | undefined;

  /** `over` is called when it has left. */
  constructor(stream: string, state: unknown, changed: (members: readonly Member[]) => void, over: () => void) {
    this.#stream = stream;
    this.#state = state;
    this.#changed = changed;
    this.#over = over;
  }

  attach(source: Source): void {
    this.#presence?.leave();
    this.#presence = source.presence(this.#stream, this.#state, this.#changed);
  }

  set(state: unknown): void {
    this.#state = state;
    this.#presence?.set(state);
  }

  leave(): void {
    this.#over();
    this.#presence?.leave();
  }
}
