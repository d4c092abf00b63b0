/**
 * A connection to the hub that reconnects: a series of links, and the subscriptions that use them.
 *
 * It tries a WebSocket. If that fails to open twice in a row although the hub responds over HTTP,
 * something blocks it, and one HTTP response for all streams is used until it breaks off.
 */

import type { From } from "../protocol/events.js";
import {
  type Link,
  type LinkEvents,
  type Member,
  PATIENCE,
  type SignalListener,
  type Status,
} from "../protocol/frames.js";
import { HubError } from "../protocol/errors.js";
import { backoff } from "./backoff.js";
import { request } from "./commands.js";
import { HttpLink } from "./http-link.js";
import { SocketLink } from "./socket-link.js";
import type { Presence, Source, StatusListener } from "./source.js";
import { PASSING, SharedSubscription } from "./subscription.js";
import { present, type Token } from "./token.js";

/** After this many failures to open, a WebSocket counts as blocked. */
const BLOCKED = 2;

/** After a link that lasted this long, the count of failures starts again. */
const LASTING = 10_000;

/** The first wait when the browser is offline; the hub may be reachable all the same. */
const OFFLINE = 5_000;

export class Connection implements Source {
  readonly #url: string;
  readonly #listener: StatusListener;
  readonly #token: Token | undefined;
  readonly #subscriptions = new Map<string, SharedSubscription>();
  #status: Status = { state: "connecting" };
  #link: Link | undefined;
  /** When the link opened, in milliseconds since 1970; 0 while none is open. */
  #open = 0;
  #attempt = 0;
  #failures = 0;
  #unopened = 0;
  /** The token that was presented last. */
  #presented: string | undefined;
  /** The hub has refused a token, and has accepted none since. */
  #denial: { readonly error: HubError; readonly token: string | undefined } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, listener: StatusListener, token?: Token) {
    this.#url = url;
    this.#listener = listener;
    this.#token = token;
    this.#connect();
  }

  follow(stream: string, from: From, listener: SignalListener): () => void {
    return this.#subscription(stream, (subscription) => subscription.follow(from, listener));
  }

  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence {
    return this.#subscription(stream, (subscription) => subscription.roster.add(state, changed));
  }

  retry(): void {
    if (this.#status.state === "live") this.#link?.check();
    else if (this.#status.state === "offline") this.#connect();
  }

  offline(): void {
    const { state } = this.#status;
    if (state === "live" || state === "connecting") this.#lose("the network is offline", OFFLINE + backoff(4));
  }

  close(): void {
    this.#end("closed", "The connection was closed.");
  }

  /** Use the subscription to a stream; a new one starts a moment later, so that others can share it. */
  #subscription<T>(stream: string, use: (subscription: SharedSubscription) => T): T {
    const known = this.#subscriptions.get(stream);
    if (known) return use(known);
    const gone = (): void => {
      if (this.#subscriptions.get(stream) === subscription) this.#subscriptions.delete(stream);
      subscription.close();
    };
    const subscription = new SharedSubscription(this.#url, stream, gone, this.#token);
    this.#subscriptions.set(stream, subscription);
    queueMicrotask(() => {
      if (this.#open && this.#link && this.#subscriptions.get(stream) === subscription) subscription.attach(this.#link);
    });
    return use(subscription);
  }

  #connect(): void {
    this.#drop();
    this.#set({ state: "connecting" });
    const attempt = this.#attempt;
    if (this.#token === undefined) this.#dial();
    else present(this.#token).then(
      (token) => { if (attempt === this.#attempt) this.#dial(token); },
      (error: unknown) => {
        if (attempt !== this.#attempt) return;
        const { code, message } = error as HubError;
        if (typeof this.#token === "string") this.#end(code, message);
        else this.#lose(message);
      },
    );
  }

  #dial(token?: string): void {
    if (this.#denial && token === this.#denial.token) {
      const { code, message } = this.#denial.error;
      this.#end(code, message);
      return;
    }
    this.#presented = token;
    const events = this.#listen();
    const opened = (): void => {
      this.#unopened = 0;
      this.#up("websocket");
    };
    try {
      this.#link = new SocketLink(`${this.#url.replace(/^http/u, "ws")}v1/ws`, { ...events, opened }, token, this.#token);
    } catch {
      // The page's policy forbids it.
      events.lost("no WebSocket may be opened");
    }
  }

  /** Handlers for the current link; they ignore earlier links. */
  #listen(): LinkEvents {
    const attempt = ++this.#attempt;
    const mine = (): boolean => attempt === this.#attempt;
    return {
      opened: () => undefined,
      lost: (why, after) => {
        if (!mine()) return;
        if (!this.#open && ++this.#unopened >= BLOCKED) void this.#fallBack(why, mine);
        else this.#lose(why, after);
      },
      denied: (error) => {
        if (mine()) this.#deny(error);
      },
      dismissed: (code, message) => {
        if (mine()) this.#end(code, message || "The hub refuses this page.");
      },
    };
  }

  async #fallBack(why: string, mine: () => boolean): Promise<void> {
    try {
      await request(`${this.#url}v1/models`, { signal: AbortSignal.timeout(PATIENCE) }, this.#token);
    } catch (error) {
      if (!mine()) return;
      if (error instanceof HubError && (error.status === 401 || error.code === "not_permitted")) this.#deny(error);
      else this.#lose(why);
      return;
    }
    if (!mine()) return;
    this.#link = new HttpLink(this.#url, this.#listen(), this.#token);
    this.#up("sse");
  }

  /** Try again if another token may help; after a refusal, once. */
  #deny(error: HubError): void {
    const renewable = typeof this.#token === "function";
    if (PASSING.includes(error.code) && (renewable || error.code !== "token_expired")) this.#lose(error.message);
    else if (renewable && !this.#denial) {
      this.#denial = { error, token: this.#presented };
      this.#connect();
    } else this.#end(error.code, error.message);
  }

  #up(via: "websocket" | "sse"): void {
    const link = this.#link;
    if (!link) return;
    this.#open = Date.now();
    this.#denial = undefined;
    this.#set({ state: "live", via });
    for (const subscription of [...this.#subscriptions.values()]) subscription.attach(link);
  }

  #lose(why: string, after?: number): void {
    if (this.#open && Date.now() - this.#open > LASTING) this.#failures = 0;
    this.#drop();
    const wait = after ?? backoff(this.#failures++);
    this.#timer = setTimeout(() => { this.#connect(); }, wait);
    this.#set({ state: "offline", retryAt: Date.now() + wait, why });
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#attempt++;
    this.#link?.close();
    this.#link = undefined;
    this.#open = 0;
    for (const subscription of this.#subscriptions.values()) subscription.detach();
  }

  #end(code: string, message: string): void {
    if (this.#status.state === "closed") return;
    this.#drop();
    this.#set({ state: "closed", code, message });
  }

  #set(status: Status): void {
    this.#status = status;
    this.#listener(status);
  }
}
