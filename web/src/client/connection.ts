/**
 * A connection to the hub that comes back: one link after another, and the feeds that use them.
 *
 * It tries a WebSocket; when that cannot be opened twice in a row though the hub answers over
 * HTTP, it is blocked on the way, and server-sent events are used until they break.
 */

import { backoff } from "./backoff.js";
import { request } from "./commands.js";
import type { From } from "./events.js";
import { Feed } from "./feed.js";
import type { Told } from "./follower.js";
import type { Member, Presence, Status } from "./hub.js";
import type { Fate, Link } from "./link.js";
import { PATIENCE } from "./link.js";
import { SocketLink } from "./socketlink.js";
import type { Source, ToldStatus } from "./source.js";
import { StreamsLink } from "./streamslink.js";

/** So often a WebSocket may fail to open before it counts as blocked. */
const BLOCKED = 2;

/** A link that lasted so long was a good one: the next failure is the first again. */
const LASTING = 10_000;

/** The first wait when the network is said to be gone; it may be so for others than the hub. */
const OFFLINE = 5_000;

export class Connection implements Source {
  readonly #url: string;
  readonly #told: ToldStatus;
  readonly #feeds = new Map<string, Feed>();
  #status: Status = { state: "connecting" };
  #link: Link | undefined;
  /** The link is open: feeds use it. */
  #open = 0;
  #attempt = 0;
  #failures = 0;
  #unopened = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, told: ToldStatus) {
    this.#url = url;
    this.#told = told;
    this.#connect();
  }

  follow(stream: string, from: From, told: Told): () => void {
    return this.#feed(stream, (feed) => feed.follow(from, told));
  }

  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence {
    return this.#feed(stream, (feed) => feed.roster.add(state, changed));
  }

  retry(): void {
    if (this.#status.state === "live") this.#link?.check();
    else if (this.#status.state === "offline") this.#connect();
  }

  offline(): void {
    const { state } = this.#status;
    if (state === "live" || state === "connecting") this.#lose("the network is gone", OFFLINE + backoff(4));
  }

  close(): void {
    this.#end("closed", "The connection was closed.");
  }

  /** Use the feed of a stream; a new one begins a moment later, when all who want it are there. */
  #feed<T>(stream: string, use: (feed: Feed) => T): T {
    const known = this.#feeds.get(stream);
    if (known) return use(known);
    const feed = new Feed(this.#url, stream, () => {
      if (this.#feeds.get(stream) === feed) this.#feeds.delete(stream);
      feed.close();
    });
    this.#feeds.set(stream, feed);
    queueMicrotask(() => {
      if (this.#open && this.#link && this.#feeds.get(stream) === feed) feed.attach(this.#link);
    });
    return use(feed);
  }

  #connect(): void {
    this.#drop();
    this.#set({ state: "connecting" });
    const fate = this.#fate();
    try {
      this.#link = new SocketLink(`${this.#url.replace(/^http/u, "ws")}v1/ws`, {
        ...fate,
        opened: () => {
          this.#unopened = 0;
          this.#up("websocket");
        },
      });
    } catch {
      // A policy of the page forbids it.
      fate.lost("a WebSocket may not be opened here");
    }
  }

  /** What becomes of the present link; of those before it nothing is heard any more. */
  #fate(): Fate {
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
        if (mine()) this.#end(code, message || "The hub does not want this page back.");
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
    this.#link = new StreamsLink(this.#url, this.#fate());
    this.#up("sse");
  }

  #up(via: "websocket" | "sse"): void {
    const link = this.#link;
    if (!link) return;
    this.#open = Date.now();
    this.#set({ state: "live", via });
    for (const feed of [...this.#feeds.values()]) feed.attach(link);
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
    for (const feed of this.#feeds.values()) feed.detach();
  }

  #end(code: string, message: string): void {
    if (this.#status.state === "closed") return;
    this.#drop();
    this.#set({ state: "closed", code, message });
  }

  #set(status: Status): void {
    this.#status = status;
    this.#told(status);
  }
}
