/**
 * A connection to the hub that reconnects: a series of links, and the subscriptions that use them.
 *
 * It tries a WebSocket. If that fails to open twice in a row although the hub responds over HTTP,
 * something blocks it, and server-sent events are used until they break off.
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
import { backoff } from "./backoff.js";
import { request } from "./commands.js";
import { HttpLink } from "./http-link.js";
import { SocketLink } from "./socket-link.js";
import type { Presence, Source, StatusListener } from "./source.js";
import { SharedSubscription } from "./subscription.js";

/** After this many failures to open, a WebSocket counts as blocked. */
const BLOCKED = 2;

/** After a link that lasted this long, the count of failures starts again. */
const LASTING = 10_000;

/** The first wait when the browser is offline; the hub may be reachable all the same. */
const OFFLINE = 5_000;

export class Connection implements Source {
  readonly #url: string;
  readonly #listener: StatusListener;
  readonly #subscriptions = new Map<string, SharedSubscription>();
  #status: Status = { state: "connecting" };
  #link: Link | undefined;
  /** When the link opened, in milliseconds since 1970; 0 while none is open. */
  #open = 0;
  #attempt = 0;
  #failures = 0;
  #unopened = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, listener: StatusListener) {
    this.#url = url;
    this.#listener = listener;
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
    const subscription = new SharedSubscription(this.#url, stream, () => {
      if (this.#subscriptions.get(stream) === subscription) this.#subscriptions.delete(stream);
      subscription.close();
    });
    this.#subscriptions.set(stream, subscription);
    queueMicrotask(() => {
      if (this.#open && this.#link && this.#subscriptions.get(stream) === subscription) subscription.attach(this.#link);
    });
    return use(subscription);
  }

  #connect(): void {
    this.#drop();
    this.#set({ state: "connecting" });
    const events = this.#listen();
    try {
      this.#link = new SocketLink(`${this.#url.replace(/^http/u, "ws")}v1/ws`, {
        ...events,
        opened: () => {
          this.#unopened = 0;
          this.#up("websocket");
        },
      });
    } catch {
      // The page's policy forbids it.
      events.lost("a WebSocket may not be opened here");
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
      dismissed: (code, message) => {
        if (mine()) this.#end(code, message || "The hub refused to let this page reconnect.");
      },
    };
  }

  async #fallBack(why: string, mine: () => boolean): Promise<void> {
    try {
      await request(`${this.#url}v1/models`, { signal: AbortSignal.timeout(PATIENCE) });
    } catch {
      if (mine()) this.#lose(why);
      return;
    }
    if (!mine()) return;
    this.#link = new HttpLink(this.#url, this.#listen());
    this.#up("sse");
  }

  #up(via: "websocket" | "sse"): void {
    const link = this.#link;
    if (!link) return;
    this.#open = Date.now();
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
