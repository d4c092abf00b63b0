/**
 * The user's actions in a conversation: send, stop, retry, edit and regenerate.
 *
 * There is one request at a time. Stopping while a request is pending stops the generation that
 * it starts. A failed reply is retried in place, because a failed version is not worth keeping.
 * Any other new version of a message is a fork (model/branches.ts).
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
  /** Something needs to be rendered. */
  changed(): void;
  /** A new version was created. */
  went(from: Place, stream: string): void;
}

const KEPT = "Your text is kept";

/** A pending request; stopping it stops the generation that it starts, wherever that is. */
interface PendingRequest {
  /** Whether it sends the composer's message. */
  readonly what: "message" | "other";
  stopped: boolean;
}

export class ChatController {
  /** The upstream to use; by default the hub's. */
  upstream: string | undefined;
  notice: ErrorNotice | undefined;
  #pending: PendingRequest | undefined;
  #stopping = false;
  /** A generation that the hub has accepted but that is not in the conversation yet. */
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

  /** A request to the hub is pending. */
  get asking(): boolean {
    return this.#pending !== undefined;
  }

  /** Switch to a conversation. */
  enter(conversation: LiveConversation | undefined): void {
    this.#conversation = conversation;
    this.#pending = undefined;
    this.#awaited = undefined;
    this.#stopping = false;
    this.notice = undefined;
  }

  /** The conversation has a new state. */
  update(state: State): void {
    if (this.#awaited !== undefined && has(state, this.#awaited)) this.#awaited = undefined;
    if (!this.#runs && !this.asking) this.#stopping = false;
  }

  /** Send a message; returns whether the hub has accepted it. */
  send(prompt: string): Promise<boolean> {
    return this.#ask("message", KEPT, ({ stream }) => this.#requests.here({ stream, prompt, ...this.#whom }));
  }

  /** Stop every running reply, whoever started it; its text so far stays. */
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

  /** Regenerate or retry a reply. */
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
          // The source of a fork may be deleted by now; the fork still has its records.
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

  /** `next` is called when the hub has accepted it, unless the user has left the conversation. */
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
      // The hub is back, which the connection may not notice for half a minute.
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
    // A generation that has ended, or that is gone, needs no stopping.
    if (gone(refused.reason)) this.#awaited = undefined;
    else this.notice = errorNotice(refused.reason);
    this.callbacks.changed();
  }
}

function has({ turns }: State, generation: string): boolean {
  return turns.some((turn) => turn.kind === "reply" && turn.generation === generation);
}

/** A request that the hub has accepted. */
interface Accepted {
  readonly generation: string;
  readonly stream: string;
}

/** A request with its idempotency key, until the hub has accepted it. */
interface KeyedRequest {
  readonly what: string;
  readonly key: string;
}

/**
 * Requests generations from the hub: for a new prompt, a retry or another version.
 *
 * Each request keeps its idempotency key until the hub has accepted it, so that pressing Send
 * again after an error gives one reply and not two. For another version the name of the fork is
 * kept, too.
 */
class Requests {
  #pending: KeyedRequest | undefined;

  constructor(private readonly hub: Hub) {}

  /** Request a generation in the conversation itself. */
  async here(ask: Ask & { readonly stream: string }): Promise<Accepted> {
    const { key } = this.#keyed(JSON.stringify(ask));
    const asked = await this.hub.generate({ ...ask, key });
    this.#pending = undefined;
    return asked;
  }

  /**
   * Request a generation in a fork, which has the records before a place.
   *
   * The source gets its `branch` event last, when the fork is ready.
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
