/** `connect`: a hub, as pages use it. */

import type { State } from "../model/conversation.js";
import { HubError } from "../protocol/errors.js";
import type { From, HubEvent, Item, Position } from "../protocol/events.js";
import type { Member, Status } from "../protocol/frames.js";
import { type Ask, Commands, type Generation, type QueueChange } from "./commands.js";
import { Connection } from "./connection.js";
import { followConversation } from "./follow-conversation.js";
import { Participation } from "./presence.js";
import type { ControlItem, Handlers, Presence, Source, StatusListener } from "./source.js";
import { iterate, Subscription } from "./subscription.js";
import type { Token } from "./token.js";
import { SharedConnection } from "./worker/tab.js";

export interface Hub {
  readonly url: string;
  readonly status: Status;
  /** Call a listener with the current status and every change; returns a function that stops it. */
  onStatus(listener: StatusListener): () => void;
  /** Try to connect now. */
  retry(): void;

  /** Follow a stream with callbacks; returns a function that stops it. */
  follow(stream: string, options: { readonly from?: From } & Handlers): () => void;
  /** Follow a stream as an async iterable of items, and of control items with `reset` or `closed`. */
  follow(
    stream: string,
    options?: { readonly from?: From; readonly signal?: AbortSignal },
  ): AsyncIterable<Item | ControlItem>;
  /** Follow a stream as a conversation, by default from its start; returns a function that stops it. */
  conversation(
    stream: string,
    changed: (state: State) => void,
    more?: Pick<Handlers, "lag" | "waiting" | "failed"> & { readonly from?: From },
  ): () => void;

  generate(ask: Ask): Promise<Generation>;
  /** Stop a generation, or drop a queued prompt. */
  cancel(generation: string): Promise<void>;
  /** Change a queued prompt, or send it now. */
  requeue(generation: string, change: QueueChange): Promise<void>;
  /** Append an event; returns the position after it. The first event creates the stream. */
  append(stream: string, event: HubEvent | Record<string, unknown>): Promise<Position>;
  /** Create `stream` with the records of `source` before `position`, by default all. */
  fork(stream: string, source: string, position?: Position): Promise<void>;
  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence;
  /** The models, the default first. */
  models(): Promise<readonly string[]>;
  close(): void;
}

export interface Options {
  /**
   * The credential: a token, or a function that returns one. The function is called before every
   * connection and request, before a token expires, and once more when the hub refuses a token.
   */
  readonly token?: Token | undefined;
  /**
   * Identifies the user whom the browser's cookie stands for, where there is no token: tabs of
   * different users never share a connection.
   */
  readonly account?: string | undefined;
  /** Share one connection among the tabs of this page if possible; true by default. */
  readonly shared?: boolean;
}

/** Connect to the hub at a URL, by default the one that served this script. */
export function connect(url: string | URL = import.meta.url.replace(/[^/]*$/u, ""), options: Options = {}): Hub {
  return new Client(new URL(url, (globalThis.location as Location | undefined)?.href), options);
}

class Client extends Commands implements Hub {
  readonly url: string;
  status: Status = { state: "connecting" };
  readonly #listeners = new Set<StatusListener>();
  readonly #parts = new Set<Subscription | Participation>();
  readonly #closed = new AbortController();
  readonly #token: Token | undefined;
  readonly #account: string | undefined;
  #source: Source | undefined;

  constructor(url: URL, { shared = true, token, account }: Options) {
    url.search = url.hash = "";
    const root = url.href.endsWith("/") ? url.href : `${url.href}/`;
    super(root, token);
    this.url = root;
    this.#token = token;
    this.#account = account;
    void this.#open(shared);
    this.#listen(shared);
  }

  onStatus(listener: StatusListener): () => void {
    this.#listeners.add(listener);
    listener(this.status);
    return () => this.#listeners.delete(listener);
  }

  retry(): void {
    this.#source?.retry();
  }

  follow(stream: string, options: { readonly from?: From } & Handlers): () => void;
  follow(stream: string, options?: { readonly from?: From; readonly signal?: AbortSignal }): AsyncIterable<Item | ControlItem>;
  follow(
    stream: string,
    { from = "start", ...more }: { from?: From; signal?: AbortSignal } & Partial<Handlers> = {},
  ): (() => void) | AsyncIterable<Item | ControlItem> {
    if (isHandlers(more)) return this.#follow(stream, from, more);
    return iterate((place, handlers) => this.#follow(stream, place, handlers), from, more.signal);
  }

  conversation(
    stream: string,
    changed: (state: State) => void,
    more?: Pick<Handlers, "lag" | "waiting" | "failed"> & { readonly from?: From },
  ): () => void {
    return followConversation((from, handlers) => this.#follow(stream, from, handlers), changed, more, stream);
  }

  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence {
    const part = new Participation(stream, state, changed, () => this.#parts.delete(part));
    this.#begin(part);
    return part;
  }

  close(): void {
    this.#closed.abort();
    this.#parts.clear();
    this.#source?.close();
    this.#set({ state: "closed", code: "closed", message: "The connection was closed." });
  }

  #follow(stream: string, from: From, handlers: Handlers): () => void {
    const part = new Subscription(stream, from, handlers, () => this.#parts.delete(part));
    this.#begin(part);
    return () => { part.stop(); };
  }

  #begin(part: Subscription | Participation): void {
    this.#parts.add(part);
    if (this.#source) part.attach(this.#source);
    // Not at once, because the caller must first have the function that stops it.
    queueMicrotask(() => { this.#refuse(); });
  }

  /** A connection that the hub has closed for good carries nothing any more. */
  #refuse(): void {
    const { status } = this;
    if (status.state !== "closed" || this.#closed.signal.aborted) return;
    const error = new HubError(status.code, status.message);
    for (const part of [...this.#parts]) if (part instanceof Subscription) part.fail(error);
  }

  /** Use a shared connection or, if that is not possible, one of its own. */
  async #open(shared: boolean): Promise<void> {
    const listener = (status: Status): void => { this.#set(status); };
    const old = this.#source;
    const source = shared
      ? await SharedConnection.open(this.url, listener, (again) => { void this.#open(again); }, this.#token, this.#account)
      : undefined;
    if (this.#closed.signal.aborted) source?.close();
    else {
      this.#source = source ?? new Connection(this.url, listener, this.#token);
      for (const part of [...this.#parts]) part.attach(this.#source);
      old?.close();
    }
  }

  /** React to network changes and to pages that sleep, which is faster than detecting silence. */
  #listen(shared: boolean): void {
    const { signal } = this.#closed;
    const listen = (target: EventTarget | undefined, name: string, hear: (event: Event) => void): void => {
      target?.addEventListener(name, hear, { signal });
    };
    const page = globalThis.window as Window | undefined;
    const retry = (): void => { this.retry(); };
    listen(page, "offline", () => this.#source?.offline());
    listen(page, "online", retry);
    listen(page, "pageshow", (event) => {
      // The worker has dropped a page that was in the back/forward cache.
      if (shared && (event as PageTransitionEvent).persisted) void this.#open(true);
      else retry();
    });
    listen(page?.document, "resume", retry);
    listen(page?.document, "visibilitychange", () => {
      if (page?.document.visibilityState === "visible") retry();
    });
  }

  #set(status: Status): void {
    if (this.#closed.signal.aborted && this.status.state === "closed") return;
    this.status = status;
    for (const listener of [...this.#listeners]) listener(status);
    this.#refuse();
  }
}

function isHandlers(options: object): options is Handlers {
  return "items" in options;
}
