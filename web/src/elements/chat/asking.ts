/**
 * What a conversation asks of the hub: a prompt, the same once more, or another version.
 *
 * Each wish has one idempotency key that it keeps until the hub has accepted it, so whoever
 * presses Send again after an error has one answer, not two. For another version the name of
 * the fork is kept as well.
 */

import type { Ask, Hub } from "../../client/hub.js";
import { unique } from "../../client/unique.js";
import type { Place } from "./branches.js";

export interface Asked {
  readonly generation: string;
  readonly stream: string;
}

interface Wish {
  readonly what: string;
  readonly key: string;
}

export class Asking {
  #wish: Wish | undefined;

  constructor(private readonly hub: Hub) {}

  /** Ask in the conversation itself. */
  async here(ask: Ask & { readonly stream: string }): Promise<Asked> {
    const { key } = this.#wished(JSON.stringify(ask));
    const asked = await this.hub.generate({ ...ask, key });
    this.#wish = undefined;
    return asked;
  }

  /**
   * Ask in a fork, which begins with what stands before a place.
   *
   * The source is told last, when there is something to go to.
   */
  async aside({ source, position }: Place, ask: Omit<Ask, "stream">): Promise<Asked> {
    const { key } = this.#wished(JSON.stringify([source, position, ask]));
    const stream = `${source.replace(/~[0-9a-z]{12}$/, "").slice(0, 150)}~${key.slice(0, 12)}`;
    await this.hub.fork(stream, source, position);
    await this.hub.append(stream, { type: "branch", from: source, position });
    const asked = await this.hub.generate({ ...ask, stream, key });
    await this.hub.append(source, { type: "branch", to: stream, position });
    this.#wish = undefined;
    return asked;
  }

  #wished(what: string): Wish {
    if (this.#wish?.what !== what) this.#wish = { what, key: unique() };
    return this.#wish;
  }
}
