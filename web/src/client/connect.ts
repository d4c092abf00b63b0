/** `connect`: the hub at a URL, as a page sees it. */

import { Commands } from "./commands.js";
import { Connection } from "./connection.js";
import { conversation } from "./conversation.js";
import type { From, HubEvent, Item, Position } from "./events.js";
import { Following } from "./following.js";
import type { Ask, Handlers, Hub, Member, Presence, Status, Told } from "./hub.js";
import { iteration } from "./iteration.js";
import { Participation } from "./participation.js";
import { Shared } from "./shared.js";
import type { Source } from "./source.js";
import type { State } from "./state.js";

export interface Options {
  /** Share one connection among the tabs of this page where that is possible; it is, unless false. */
  readonly shared?: boolean;
}

/** The hub at a URL; without one, the hub that this very script was loaded from. */
export function connect(url: string | URL = import.meta.url.replace(/[^/]*$/u, ""), options: Options = {}): Hub {
  return new Client(new URL(url, (globalThis.location as Location | undefined)?.href), options);
}

class Client implements Hub {
  readonly url: string;
  status: Status = { state: "connecting" };
  readonly #told = new Set<(status: Status) => void>();
  readonly #parts = new Set<Following | Participation>();
  readonly #commands: Commands;
  readonly #deaf = new AbortController();
  #source: Source | undefined;

  constructor(url: URL, { shared = true }: Options) {
    url.search = url.hash = "";
    this.url = url.href.endsWith("/") ? url.href : `${url.href}/`;
    this.#commands = new Commands(this.url);
    void this.#open(shared);
    this.#listen(shared);
  }

  onStatus(told: (status: Status) => void): () => void {
    this.#told.add(told);
    told(this.status);
    return () => this.#told.delete(told);
  }

  retry(): void {
    this.#source?.retry();
  }

  follow(stream: string, options: { readonly from?: From } & Handlers): () => void;
  follow(stream: string, options?: { readonly from?: From; readonly signal?: AbortSignal }): AsyncIterable<Item | Told>;
  follow(
    stream: string,
    { from = "start", ...more }: { from?: From; signal?: AbortSignal } & Partial<Handlers> = {},
  ): (() => void) | AsyncIterable<Item | Told> {
    if (isHandlers(more)) return this.#follow(stream, from, more);
    return iteration((place, handlers) => this.#follow(stream, place, handlers), from, more.signal);
  }

  conversation(
    stream: string,
    told: (state: State) => void,
    more?: Pick<Handlers, "lag" | "waiting" | "failed"> & { readonly from?: From },
  ): () => void {
    return conversation((from, handlers) => this.#follow(stream, from, handlers), told, more);
  }

  generate(ask: Ask): Promise<{ generation: string; stream: string }> {
    return this.#commands.generate(ask);
  }

  cancel(generation: string): Promise<void> {
    return this.#commands.cancel(generation);
  }

  append(stream: string, event: HubEvent | Record<string, unknown>): Promise<Position> {
    return this.#commands.append(stream, event);
  }

  fork(stream: string, source: string, position?: Position): Promise<void> {
    return this.#commands.fork(stream, source, position);
  }

  models(): Promise<readonly string[]> {
    return this.#commands.models();
  }

  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence {
    const part = new Participation(stream, state, changed, () => this.#parts.delete(part));
    this.#begin(part);
    return part;
  }

  close(): void {
    this.#deaf.abort();
    this.#parts.clear();
    this.#source?.close();
    this.#set({ state: "closed", code: "closed", message: "The connection was closed." });
  }

  #follow(stream: string, from: From, handlers: Handlers): () => void {
    const part = new Following(stream, from, handlers, () => this.#parts.delete(part));
    this.#begin(part);
    return () => { part.stop(); };
  }

  #begin(part: Following | Participation): void {
    this.#parts.add(part);
    if (this.#source) part.attach(this.#source);
  }

  /** Have streams from a connection that is shared, or if that cannot be, from one's own. */
  async #open(shared: boolean): Promise<void> {
    const told = (status: Status): void => { this.#set(status); };
    const old = this.#source;
    const source = shared
      ? await Shared.open(this.url, told, () => { void this.#open(false); })
      : undefined;
    if (this.#deaf.signal.aborted) source?.close();
    else {
      this.#source = source ?? new Connection(this.url, told);
      for (const part of [...this.#parts]) part.attach(this.#source);
      old?.close();
    }
  }

  /** The network comes and goes, and pages sleep: what is known of that is sooner than any silence. */
  #listen(shared: boolean): void {
    const { signal } = this.#deaf;
    const listen = (target: EventTarget | undefined, name: string, heard: (event: Event) => void): void => {
      target?.addEventListener(name, heard, { signal });
    };
    const page = globalThis.window as Window | undefined;
    const retry = (): void => { this.retry(); };
    listen(page, "offline", () => this.#source?.offline());
    listen(page, "online", retry);
    listen(page, "pageshow", (event) => {
      // A page that was put away and is shown again has been forgotten by its worker.
      if (shared && (event as PageTransitionEvent).persisted) void this.#open(true);
      else retry();
    });
    listen(page?.document, "resume", retry);
    listen(page?.document, "visibilitychange", () => {
      if (page?.document.visibilityState === "visible") retry();
    });
  }

  #set(status: Status): void {
    if (this.#deaf.signal.aborted && this.status.state === "closed") return;
    this.status = status;
    for (const told of [...this.#told]) told(status);
  }
}

function isHandlers(options: object): options is Handlers {
  return "items" in options;
}
