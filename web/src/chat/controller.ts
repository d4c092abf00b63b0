/**
 * What the reader does with a conversation: ask, stop, try again, go on differently.
 *
 * One request at a time. Whoever stops while the hub is still being asked stops what it then
 * begins. A reply that failed is tried again in place: what failed is no version worth keeping
 * apart. Another version of a message is a fork (model/branches.ts).
 */

import type { Ask } from "../client/commands.js";
import type { Hub } from "../client/hub.js";
import { unique } from "../client/unique.js";
import { place, type Place } from "../model/branches.js";
import type { AssistantMessage, ChatMessage, State } from "../model/conversation.js";
import { before, prompted } from "../model/history.js";
import type { Activity } from "./composer.js";
import { type ErrorNotice, errorNotice, gone } from "./error-notice.js";
import type { LiveConversation } from "./live-conversation.js";

export interface ControllerCallbacks {
  /** Something is to be rendered. */
  changed(): void;
  /** Another version has begun. */
  went(from: Place, stream: string): void;
}

const KEPT = "Your text is kept";

/** What the hub is being asked; whoever stops it meanwhile stops what comes of it, wherever that is. */
interface PendingRequest {
  /** A message in the composer, or something else. */
  readonly what: "message" | "other";
  stopped: boolean;
}

export class ChatController {
  /** The upstream to ask, the hub's default if none. */
  upstream: string | undefined;
  notice: ErrorNotice | undefined;
  #pending: PendingRequest | undefined;
  #stopping = false;
  /** A generation that was accepted and is not yet seen in the conversation. */
  #awaited: string | undefined;
  #conversation: LiveConversation | undefined;
  readonly #requests: Requests;

  constructor(
    private readonly hub: Hub,
    private readonly callbacks: ControllerCallbacks,
  ) {
    this.#requests = new Requests(hub);
  }

  get activity(): Activity {
    if (this.#stopping) return "stopping";
    if (this.#pending?.what === "message") return "sending";
    return this.#runs || this.asking ? "answering" : "nothing";
  }

  /** The hub is being asked. */
  get asking(): boolean {
    return this.#pending !== undefined;
  }

  /** From now on it is about this conversation. */
  enter(conversation: LiveConversation | undefined): void {
    this.#conversation = conversation;
    this.#pending = undefined;
    this.#awaited = undefined;
    this.#stopping = false;
    this.notice = undefined;
  }

  /** The conversation went on. */
  update(state: State): void {
    if (this.#awaited !== undefined && has(state, this.#awaited)) this.#awaited = undefined;
    if (!this.#runs && !this.asking) this.#stopping = false;
  }

  /** Gives whether the hub has accepted it. */
  send(prompt: string): Promise<boolean> {
    return this.#ask("message", KEPT, ({ stream }) => this.#requests.here({ stream, prompt, ...this.#whom }));
  }

  /** Stop whatever runs, whoever began it; what came of it stays. */
  async stop(): Promise<void> {
    if (this.activity === "nothing") return;
    this.#stopping = true;
    if (this.#pending) this.#pending.stopped = true;
    this.callbacks.changed();
    const running = new Set(this.#conversation?.latest.running);
    if (this.#awaited !== undefined) running.add(this.#awaited);
    await this.#cancel(running);
  }

  retry(reply: AssistantMessage): Promise<boolean> {
    return this.#ask("other", "", ({ stream, latest }) =>
      this.#requests.here({ stream, messages: before(latest, reply), ...this.#whom }),
    );
  }

  /** The same message, answered once more. */
  async again(reply: AssistantMessage): Promise<boolean> {
    const message = this.#conversation && prompted(this.#conversation.latest, reply);
    return message !== undefined && this.#aside(message, message.text, "");
  }

  edit(message: ChatMessage, text: string): Promise<boolean> {
    return this.#aside(message, text, KEPT);
  }

  dismiss(): void {
    this.notice = undefined;
    this.callbacks.changed();
  }

  get #runs(): boolean {
    return (this.#conversation?.latest.running.length ?? 0) > 0 || this.#awaited !== undefined;
  }

  get #whom(): Pick<Ask, "upstream"> {
    return this.upstream ? { upstream: this.upstream } : {};
  }

  #aside(message: ChatMessage, prompt: string, kept: string): Promise<boolean> {
    return this.#ask(
      "other",
      kept,
      async ({ stream, latest }) => {
        const author = message.author === undefined ? {} : { author: message.author };
        const ask = { prompt, ...author, ...this.#whom };
        const at = place(stream, latest, message);
        const accepted = await this.#requests.aside(at, ask).catch((error: unknown) => {
          // The source of a fork may have been deleted since; the fork still holds its records.
          if (at.source === stream || !gone(error)) throw error;
          return this.#requests.aside({ source: stream, position: message.before }, ask);
        });
        return { ...accepted, at };
      },
      ({ at, stream }) => {
        this.callbacks.went(at, stream);
      },
    );
  }

  /** `next` follows when the hub has accepted it, unless the reader has gone elsewhere meanwhile. */
  async #ask<T extends Accepted>(
    what: "message" | "other",
    kept: string,
    ask: (about: LiveConversation) => Promise<T>,
    next: (accepted: T) => void = () => undefined,
  ): Promise<boolean> {
    const about = this.#conversation;
    if (!about || this.activity !== "nothing") return false;
    const pending: PendingRequest = { what, stopped: false };
    this.#pending = pending;
    this.notice = undefined;
    this.callbacks.changed();
    try {
      const accepted = await ask(about);
      // The hub is back, which the connection may not know for half a minute.
      if (this.hub.status.state === "offline") this.hub.retry();
      const stays = this.#conversation === about;
      if (stays && about.stream === accepted.stream && !has(about.latest, accepted.generation)) {
        this.#awaited = accepted.generation;
      }
      if (pending.stopped) void this.#cancel([accepted.generation]);
      if (stays) next(accepted);
      return true;
    } catch (error) {
      if (this.#conversation === about) {
        this.notice = errorNotice(error, kept);
        this.#stopping = false;
      }
      return false;
    } finally {
      if (this.#pending === pending) this.#pending = undefined;
      this.callbacks.changed();
    }
  }

  async #cancel(generations: Iterable<string>): Promise<void> {
    const outcomes = await Promise.allSettled(Array.from(generations, (one) => this.hub.cancel(one)));
    const refused = outcomes.find((one) => one.status === "rejected");
    if (!refused) return;
    this.#stopping = false;
    // What has ended, or what the hub has forgotten, needs no stopping.
    if (gone(refused.reason)) this.#awaited = undefined;
    else this.notice = errorNotice(refused.reason);
    this.callbacks.changed();
  }
}

function has({ turns }: State, generation: string): boolean {
  return turns.some((turn) => turn.kind === "reply" && turn.generation === generation);
}

/** What the hub has accepted. */
interface Accepted {
  readonly generation: string;
  readonly stream: string;
}

/** One thing that is wanted, until the hub has accepted it. */
interface KeyedRequest {
  readonly what: string;
  readonly key: string;
}

/**
 * Asks the hub for a generation: a prompt, the same once more, or another version.
 *
 * Each request has one idempotency key that it keeps until the hub has accepted it, so whoever
 * presses Send again after an error has one answer, not two. For another version the name of
 * the fork is kept as well.
 */
class Requests {
  #pending: KeyedRequest | undefined;

  constructor(private readonly hub: Hub) {}

  /** Ask in the conversation itself. */
  async here(ask: Ask & { readonly stream: string }): Promise<Accepted> {
    const { key } = this.#keyed(JSON.stringify(ask));
    const asked = await this.hub.generate({ ...ask, key });
    this.#pending = undefined;
    return asked;
  }

  /**
   * Ask in a fork, which begins with what stands before a place.
   *
   * The source is told last, when there is something to go to.
   */
  async aside({ source, position }: Place, ask: Omit<Ask, "stream">): Promise<Accepted> {
    const { key } = this.#keyed(JSON.stringify([source, position, ask]));
    const stream = `${source.replace(/~[0-9a-z]{12}$/, "").slice(0, 150)}~${key.slice(0, 12)}`;
    await this.hub.fork(stream, source, position);
    await this.hub.append(stream, { type: "branch", from: source, position });
    const asked = await this.hub.generate({ ...ask, stream, key });
    await this.hub.append(source, { type: "branch", to: stream, position });
    this.#pending = undefined;
    return asked;
  }

  #keyed(what: string): KeyedRequest {
    if (this.#pending?.what !== what) this.#pending = { what, key: unique() };
    return this.#pending;
  }
}
