/**
 * Keeps the list of this browser and the one that the hub has for its user the same.
 *
 * The hub's list is a stream, which is followed: what another device changes is here at once. What is
 * changed here is appended once the stream has been heard to its end. Where the stream cannot be
 * followed the list is that of this browser.
 */

import type { Hub } from "../client/hub.js";
import { HubError } from "../protocol/errors.js";
import type { ConversationList } from "./conversation-list.js";
import { changesOf } from "./list-changes.js";

export class ListSync {
  /** What may have to be sent, by name. */
  readonly #due = new Set<string>();
  /** What was sent and has not come back, by name. */
  readonly #sent = new Map<string, string>();
  #stop: () => void = () => undefined;
  /** The stream was heard to its end. */
  #heard = false;
  #exists = true;
  #sending = false;

  constructor(
    private readonly list: ConversationList,
    private readonly hub: Hub,
    private readonly stream: string,
  ) {}

  start(): void {
    this.#follow();
    this.list.onWrite((name) => {
      this.#due.add(name);
      void this.#send();
    });
    this.hub.onStatus(({ state }) => {
      if (state === "live") void this.#send();
    });
  }

  #follow(): void {
    this.#stop = this.hub.follow(this.stream, {
      from: this.list.heard ?? "start",
      items: (items) => {
        const last = items.at(-1);
        const changes = changesOf(items);
        for (const { stream } of changes) this.#sent.delete(stream);
        if (last) this.list.apply(changes, last.position);
      },
      reset: () => {
        this.#stop();
        this.#heard = false;
        this.list.forget();
        this.#follow();
      },
      lag: (records) => {
        if (records === 0) this.#end(true);
      },
      waiting: () => {
        // Nobody has begun it, or it was lost with all that this browser knows of it.
        this.list.forget();
        this.#end(false);
      },
      failed: () => {
        this.#heard = false;
      },
    });
  }

  #end(exists: boolean): void {
    this.#exists = exists;
    if (this.#heard && exists) return;
    this.#heard = true;
    this.#sent.clear();
    for (const name of this.list.unsent) this.#due.add(name);
    void this.#send();
  }

  /** Send what is due, one after the other; what fails is due again once the hub is back. */
  async #send(): Promise<void> {
    if (!this.#heard || this.#sending || this.#due.size === 0) return;
    this.#sending = true;
    try {
      await alone(this.stream, () => this.#sendDue());
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
    } finally {
      this.#sending = false;
    }
  }

  async #sendDue(): Promise<void> {
    for (const name of this.#due) {
      this.#due.delete(name);
      try {
        await this.#sendOne(name);
      } catch (error) {
        this.#due.add(name);
        throw error;
      }
    }
  }

  async #sendOne(name: string): Promise<void> {
    const event = this.list.unsentOf(name);
    const text = JSON.stringify(event);
    if (!event || this.#sent.get(name) === text) return;
    if (!this.#exists) await this.#create();
    await this.hub.append(this.stream, { ...event });
    this.#sent.set(name, text);
  }

  /** Begin the stream, also if another device just has. */
  async #create(): Promise<void> {
    const headers = { "Content-Type": "application/json" };
    await fetch(new URL(`v1/stream/${this.stream}`, this.hub.url), { method: "PUT", headers }).catch(() => undefined);
    this.#exists = true;
  }
}

/** Do something in one tab at a time: what one has sent the next one has heard. */
function alone(name: string, does: () => Promise<void>): Promise<void> {
  // There are no locks outside secure contexts; then something may be sent twice, which does no harm.
  const locks = navigator.locks as LockManager | undefined;
  return locks?.request(`streamhub ${name}`, does) ?? does();
}
