/** The forks that a conversation's ancestors were told of after it had left them, live. */

import type { Hub } from "../client/hub.js";
import { lineage } from "../model/branches.js";
import type { Branch, Position } from "../protocol/events.js";

/** Ancestors that are followed. */
const FOLLOWED = 8;
/** Forks told by one ancestor. */
const MOST = 100;

export class ForkWatcher {
  readonly #hub: Hub;
  readonly #changed: (forks: ReadonlyMap<string, readonly Branch[]>) => void;
  #forks: ReadonlyMap<string, readonly Branch[]> = new Map();
  readonly #followed = new Map<string, () => void>();

  constructor(hub: Hub, changed: (forks: ReadonlyMap<string, readonly Branch[]>) => void) {
    this.#hub = hub;
    this.#changed = changed;
  }

  /** Follow the ancestors of a conversation, the nearest few of them. */
  follow(stream: string, branches: readonly Branch[]): void {
    for (const { stream: ancestor, until } of lineage(stream, branches).slice(-FOLLOWED - 1)) {
      if (until === undefined || ancestor === stream || this.#followed.has(ancestor)) continue;
      if (this.#followed.size >= FOLLOWED) return;
      this.#followed.set(ancestor, () => undefined);
      this.#followed.set(ancestor, this.#begin(ancestor, until));
    }
  }

  stop(): void {
    for (const end of this.#followed.values()) end();
    this.#followed.clear();
    this.#forks = new Map();
  }

  #begin(ancestor: string, from: Position): () => void {
    let forks: readonly Branch[] = [];
    const tell = (now: readonly Branch[]): void => {
      forks = now;
      this.#forks = new Map(this.#forks).set(ancestor, forks);
      this.#changed(this.#forks);
    };
    return this.#hub.follow(ancestor, {
      from: from || "start",
      items: (items) => {
        // A stream may hold any JSON, `null` too.
        const more = items.flatMap(({ event }) => ((event as Branch | null)?.type === "branch" ? [event as Branch] : []));
        if (more.length > 0) tell([...forks, ...more].slice(-MOST));
      },
      // What comes again is told again; `versions` counts each conversation once.
      reset: () => undefined,
      failed: () => undefined,
    });
  }
}
