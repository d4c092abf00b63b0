/**
 * What the reader wants of a conversation: to ask, to stop, to try again, to go on differently.
 *
 * One wish at a time. Whoever stops while the hub is still being asked stops what it then
 * begins. A reply that failed is tried again in place: what failed is no version worth keeping
 * apart. Another version of a message is a fork (branches.ts).
 */

import type { Ask, Hub } from "../../client/hub.js";
import type { Reply, Said, State } from "../../client/state.js";
import { type Asked, Asking } from "./asking.js";
import { place, type Place } from "./branches.js";
import { type Complaint, complaint, gone } from "./complaint.js";
import type { Doing } from "./composer.js";
import type { Conversation } from "./conversation.js";
import { before, prompted } from "./history.js";

export interface Wanted {
  /** Something is to be rendered. */
  changed(): void;
  /** Another version has begun. */
  went(from: Place, stream: string): void;
}

const KEPT = "Your text is kept";

/** What the hub is being asked; whoever stops it meanwhile stops what comes of it, wherever that is. */
interface Wish {
  /** A message in the composer, or something else. */
  readonly what: "message" | "other";
  stopped: boolean;
}

export class Exchange {
  /** The upstream to ask, the hub's default if none. */
  upstream: string | undefined;
  complaint: Complaint | undefined;
  #wish: Wish | undefined;
  #stopping = false;
  /** A generation that was accepted and is not yet seen in the conversation. */
  #awaited: string | undefined;
  #conversation: Conversation | undefined;
  readonly #asks: Asking;

  constructor(
    private readonly hub: Hub,
    private readonly wanted: Wanted,
  ) {
    this.#asks = new Asking(hub);
  }

  get doing(): Doing {
    if (this.#stopping) return "stopping";
    if (this.#wish?.what === "message") return "sending";
    return this.#runs || this.asking ? "answering" : "nothing";
  }

  /** The hub is being asked. */
  get asking(): boolean {
    return this.#wish !== undefined;
  }

  /** From now on it is about this conversation. */
  enter(conversation: Conversation | undefined): void {
    this.#conversation = conversation;
    this.#wish = undefined;
    this.#awaited = undefined;
    this.#stopping = false;
    this.complaint = undefined;
  }

  /** The conversation went on. */
  heard(state: State): void {
    if (this.#awaited !== undefined && has(state, this.#awaited)) this.#awaited = undefined;
    if (!this.#runs && !this.asking) this.#stopping = false;
  }

  /** Gives whether the hub has accepted it. */
  send(prompt: string): Promise<boolean> {
    return this.#ask("message", KEPT, ({ stream }) => this.#asks.here({ stream, prompt, ...this.#whom }));
  }

  /** Stop whatever runs, whoever began it; what came of it stays. */
  async stop(): Promise<void> {
    if (this.doing === "nothing") return;
    this.#stopping = true;
    if (this.#wish) this.#wish.stopped = true;
    this.wanted.changed();
    const running = new Set(this.#conversation?.latest.running);
    if (this.#awaited !== undefined) running.add(this.#awaited);
    await this.#cancel(running);
  }

  retry(reply: Reply): Promise<boolean> {
    return this.#ask("other", "", ({ stream, latest }) =>
      this.#asks.here({ stream, messages: before(latest, reply), ...this.#whom }),
    );
  }

  /** The same message, answered once more. */
  async again(reply: Reply): Promise<boolean> {
    const said = this.#conversation && prompted(this.#conversation.latest, reply);
    return said !== undefined && this.#aside(said, said.text, "");
  }

  edit(said: Said, text: string): Promise<boolean> {
    return this.#aside(said, text, KEPT);
  }

  dismiss(): void {
    this.complaint = undefined;
    this.wanted.changed();
  }

  get #runs(): boolean {
    return (this.#conversation?.latest.running.length ?? 0) > 0 || this.#awaited !== undefined;
  }

  get #whom(): Pick<Ask, "upstream"> {
    return this.upstream ? { upstream: this.upstream } : {};
  }

  #aside(said: Said, prompt: string, kept: string): Promise<boolean> {
    return this.#ask(
      "other",
      kept,
      async ({ stream, latest }) => {
        const author = said.author === undefined ? {} : { author: said.author };
        const ask = { prompt, ...author, ...this.#whom };
        const at = place(stream, latest, said);
        const asked = await this.#asks.aside(at, ask).catch((error: unknown) => {
          // The source of a fork may have been deleted since; the fork still holds its records.
          if (at.source === stream || !gone(error)) throw error;
          return this.#asks.aside({ source: stream, position: said.before }, ask);
        });
        return { ...asked, at };
      },
      ({ at, stream }) => {
        this.wanted.went(at, stream);
      },
    );
  }

  /** `next` follows when the hub has accepted it, unless the reader has gone elsewhere meanwhile. */
  async #ask<T extends Asked>(
    what: "message" | "other",
    kept: string,
    ask: (about: Conversation) => Promise<T>,
    next: (asked: T) => void = () => undefined,
  ): Promise<boolean> {
    const about = this.#conversation;
    if (!about || this.doing !== "nothing") return false;
    const wish: Wish = { what, stopped: false };
    this.#wish = wish;
    this.complaint = undefined;
    this.wanted.changed();
    try {
      const asked = await ask(about);
      // The hub is back, which the connection may not know for half a minute.
      if (this.hub.status.state === "offline") this.hub.retry();
      const stays = this.#conversation === about;
      if (stays && about.stream === asked.stream && !has(about.latest, asked.generation)) {
        this.#awaited = asked.generation;
      }
      if (wish.stopped) void this.#cancel([asked.generation]);
      if (stays) next(asked);
      return true;
    } catch (error) {
      if (this.#conversation === about) {
        this.complaint = complaint(error, kept);
        this.#stopping = false;
      }
      return false;
    } finally {
      if (this.#wish === wish) this.#wish = undefined;
      this.wanted.changed();
    }
  }

  async #cancel(generations: Iterable<string>): Promise<void> {
    const outcomes = await Promise.allSettled(Array.from(generations, (one) => this.hub.cancel(one)));
    const refused = outcomes.find((one) => one.status === "rejected");
    if (!refused) return;
    this.#stopping = false;
    // What has ended, or what the hub has forgotten, needs no stopping.
    if (gone(refused.reason)) this.#awaited = undefined;
    else this.complaint = complaint(refused.reason);
    this.wanted.changed();
  }
}

function has({ turns }: State, generation: string): boolean {
  return turns.some((turn) => turn.kind === "reply" && turn.generation === generation);
}
