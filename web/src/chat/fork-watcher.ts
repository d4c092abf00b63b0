/** Follows a conversation's ancestors to learn of their later forks. */

import type { Hub } from "../client/hub.js";
import { lineage } from "../model/branches.js";
import type { Branch, Position } from "../protocol/events.js";

/** The most ancestors to follow. */
const FOLLOWED = 8;
/** The most forks of one ancestor. */
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
        // A stream may contain any JSON, including `null`.
        const more = items.flatMap(({ event }) => ((event as Branch | null)?.type === "branch" ? [event as Branch] : []));
        if (more.length > 0) tell([...forks, ...more].slice(-MOST));
      },
      // Events may repeat; `versions` counts each conversation once.
      reset: () => undefined,
      failed: () => undefined,
    });
  }
}
