/**
 * The user's actions in a conversation: send, stop, retry, edit and regenerate.
 *
 * A message that is sent during a reply waits in the hub for its turn. One that is sent while the hub
 * cannot be reached waits in this browser (outbox.ts), and is sent once the hub is back.
 *
 * A message continues the branch that is shown, wherever that has got to by its turn. Regenerating a
 * reply, after a failure too, or editing a message begins a branch (model/branches.ts).
 *
 * There is one request at a time; a message that is sent while another version is asked for goes next. Stopping
 * while a request is pending stops the generation that it starts, or what runs if it only waits.
 */

import type { Ask } from "../client/commands.js";
import type { Hub } from "../client/hub.js";
import { unique } from "../client/unique.js";
import { answered, before, nameOf } from "../model/branches.js";
import type { AssistantMessage, ChatMessage, State } from "../model/conversation.js";
import type { Activity } from "./composer.js";
import { type ErrorNotice, errorNotice, gone, unreached } from "./error-notice.js";
import type { LiveConversation } from "./live-conversation.js";
import { Outbox, type UnsentPrompt } from "./outbox.js";
import type { QueueRequest } from "./prompt-queue.js";

export interface ControllerCallbacks {
  /** Something needs to be rendered. */
  changed(): void;
  /** A new version was begun. */
  branched(): void;
}

const KEPT = "Your text is kept";

/** A pending request; stopping it stops the generation that it starts, wherever that is, unless it has to wait. */
interface PendingRequest {
  /** Whether it sends the composer's message. */
  readonly what: "message" | "other";
  stopped: boolean;
  /** The request that has to be over before this one is sent. */
  readonly first: PendingRequest | undefined;
  readonly over: Promise<void>;
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
  #outbox: Outbox | undefined;
  #flushing = false;
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

  /** Switch to a conversation; what is not sent yet is `account`'s alone. */
  enter(conversation: LiveConversation | undefined, account = ""): void {
    this.#conversation = conversation;
    this.#outbox?.close();
    this.#outbox = conversation && new Outbox(account ? `${this.hub.url}@${account}` : this.hub.url, conversation.stream, () => {
      this.callbacks.changed();
    });
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

  /** The prompts that the hub does not have yet. */
  get unsent(): readonly UnsentPrompt[] {
    return this.#outbox?.prompts ?? [];
  }

  /** Send a message, or keep it until the hub can be reached; returns whether either was possible. */
  async send(prompt: string): Promise<boolean> {
    const outbox = this.#outbox;
    const offline = this.hub.status.state === "offline";
    let branch = this.#branch;
    if (outbox && (offline || outbox.prompts.length > 0) && outbox.add(prompt, branch)) {
      // Perhaps it is back, which the connection may not notice for half a minute.
      if (offline) this.hub.retry();
      void this.flush();
      return true;
    }
    return this.#ask(
      "message",
      KEPT,
      ({ stream }) => {
        // Another version may have begun since.
        branch = this.#awaited ?? this.#branch;
        return this.#requests.send({ stream, prompt, when_busy: "queue", ...this.#whom }, branch);
      },
      undefined,
      (error) => {
        if (!unreached(error) || outbox?.add(prompt, branch, this.#requests.release()) !== true) return false;
        // The connection may have come back while the request was still being tried.
        void this.flush();
        return true;
      },
    );
  }

  /** Send what was written while the hub could not be reached, in order. */
  async flush(): Promise<void> {
    const about = this.#conversation;
    const outbox = this.#outbox;
    if (!about || !outbox || this.#flushing || this.hub.status.state === "offline") return;
    this.#flushing = true;
    try {
      for (let [next] = outbox.prompts; next && outbox === this.#outbox; [next] = outbox.prompts) {
        const { key, text: prompt, branch } = next;
        const where = branch === undefined ? {} : { branch };
        await this.hub.generate({ stream: about.stream, prompt, key, when_busy: "queue", ...where, ...this.#whom });
        outbox.remove(key);
      }
    } catch (error) {
      if (this.#conversation === about && !unreached(error)) this.notice = errorNotice(error, KEPT);
    } finally {
      this.#flushing = false;
      this.callbacks.changed();
    }
  }

  /** Do what the user wants done with a prompt that waits. */
  async requeue(request: QueueRequest): Promise<void> {
    const { id } = request;
    const about = this.#conversation;
    if (this.unsent.some(({ key }) => key === id)) {
      if (request.do === "edit") this.#outbox?.edit(id, request.text);
      else if (request.do === "drop") this.#outbox?.remove(id);
      return;
    }
    try {
      if (request.do === "drop") await this.hub.cancel(id);
      else if (request.do === "edit") await this.hub.requeue(id, { prompt: request.text });
      else if (request.do === "move") await this.hub.requeue(id, { place: request.place });
      else await this.hub.requeue(id, { now: true });
    } catch (error) {
      // One that has begun, or is gone, needs no change: the next event says so.
      const over = gone(error) || (error as { code?: unknown }).code === "not_queued";
      if (this.#conversation === about && !over) this.notice = errorNotice(error);
    }
    this.callbacks.changed();
  }

  /** Stop every running reply, whoever started it; its text so far stays. */
  async stop(): Promise<void> {
    if (this.activity === "nothing") return;
    this.#stopping = true;
    for (let pending = this.#pending; pending; pending = pending.first) pending.stopped = true;
    this.callbacks.changed();
    const running = new Set(this.#conversation?.latest.running);
    if (this.#awaited !== undefined) running.add(this.#awaited);
    await this.#cancel(running);
  }

  /** Regenerate or retry a reply. */
  async again(reply: AssistantMessage): Promise<boolean> {
    const message = this.#conversation && answered(this.#conversation.latest.all, reply);
    return message ? this.#beside({ after: nameOf(message) }, "") : this.#lost();
  }

  async edit(message: ChatMessage, prompt: string): Promise<boolean> {
    const about = this.#conversation;
    if (!about) return false;
    const after = before(about.latest.all, message);
    if (after === undefined) return this.#lost();
    const author = message.author === undefined ? {} : { author: message.author };
    return this.#beside({ prompt, ...author, after }, KEPT);
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

  /** The name of what was said last on the branch that is shown. */
  get #branch(): string | undefined {
    const last = this.#conversation?.latest.turns.at(-1);
    return last && nameOf(last);
  }

  /** What another version was asked of is shown until the next frame, but the hub has lost it. */
  #lost(): false {
    this.notice = { text: "The hub does not have this message any more." };
    this.callbacks.changed();
    return false;
  }

  /** Begin another version. */
  #beside(ask: Ask, kept: string): Promise<boolean> {
    const about = this.#conversation;
    return this.#ask(
      "other",
      kept,
      ({ stream }) => this.#requests.send({ stream, ...ask, ...this.#whom }),
      ({ generation }) => {
        about?.began(generation);
        this.callbacks.branched();
      },
    );
  }

  /**
   * `next` is called when the hub has accepted it, unless the user has left the conversation;
   * `keep` when it has not, and says whether the request is kept until it can be repeated.
   */
  async #ask<T extends Accepted>(
    what: "message" | "other",
    kept: string,
    ask: (about: LiveConversation) => Promise<T>,
    next: (accepted: T) => void = () => undefined,
    keep: (error: unknown) => boolean = () => false,
  ): Promise<boolean> {
    const about = this.#conversation;
    const first = this.#pending;
    if (!about || (first && (what === "other" || first.what === "message"))) return false;
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    const pending: PendingRequest = { what, stopped: false, first, over };
    this.#pending = pending;
    this.notice = undefined;
    this.callbacks.changed();
    try {
      await first?.over;
      // Stopped, or left, before it was sent: the text stays in the composer.
      if (first && (pending.stopped || this.#conversation !== about)) return false;
      const accepted = await ask(about);
      // The hub is back, which the connection may not notice for half a minute.
      if (this.hub.status.state === "offline") this.hub.retry();
      const stays = this.#conversation === about;
      const begins = accepted.state !== "queued";
      if (stays && begins && about.stream === accepted.stream && !has(about.latest, accepted.generation)) {
        this.#awaited = accepted.generation;
      }
      // What waits is held by the stop of what runs; cancelling it would lose its text.
      if (pending.stopped) void (begins ? this.#cancel([accepted.generation]) : this.stop());
      if (stays) next(accepted);
      return true;
    } catch (error) {
      if (keep(error)) return true;
      if (this.#conversation === about) {
        this.notice = errorNotice(error, kept);
        this.#stopping = false;
      }
      return false;
    } finally {
      end();
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

function has({ all }: State, generation: string): boolean {
  return all.some((turn) => turn.kind === "reply" && turn.generation === generation);
}

/** A request that the hub has accepted. */
interface Accepted {
  readonly generation: string;
  readonly stream: string;
  readonly state?: string;
}

/** A request with its idempotency key, until the hub has accepted it. */
interface KeyedRequest {
  readonly what: string;
  readonly key: string;
  readonly branch: string | undefined;
}

/**
 * Requests generations from the hub.
 *
 * Each request keeps its idempotency key until the hub has accepted it, so that pressing Send
 * again after an error gives one reply and not two. It keeps its branch, too: what came meanwhile
 * may be its own doing.
 */
class Requests {
  #pending: KeyedRequest | undefined;

  constructor(private readonly hub: Hub) {}

  async send(ask: Ask & { readonly stream: string }, branch?: string): Promise<Accepted> {
    const what = JSON.stringify(ask);
    const mine = this.#pending?.what === what ? this.#pending : { what, key: unique(), branch };
    this.#pending = mine;
    const { key, branch: kept } = mine;
    const asked = await this.hub.generate({ ...ask, ...(kept !== undefined && { branch: kept }), key });
    // Another conversation may have asked for something since.
    if (this.#pending === mine) this.#pending = undefined;
    return asked;
  }

  /** The key of a request that was not accepted, which somebody else will repeat. */
  release(): string | undefined {
    const key = this.#pending?.key;
    this.#pending = undefined;
    return key;
  }
}
