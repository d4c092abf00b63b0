/**
 * Subscriptions: each stream is followed once over the link, for any number of subscribers.
 *
 * A page's `Subscription` keeps its position and survives a change of source. A source has one
 * `SharedSubscription` for each stream, which gives every subscriber the same items and keeps the
 * newest in a `ReplayBuffer`. A subscriber *joins* when it is at the position of the shared
 * subscription; from then on it receives the same items, without a gap. One that starts later
 * first gets the kept items. One that wants items that are not kept reads them itself until it
 * reaches a position between two kept items.
 */

import { HubError } from "../protocol/errors.js";
import type { From, Item, Position } from "../protocol/events.js";
import type { Joined, Link, Signal, SignalListener, Sink } from "../protocol/frames.js";
import { offsetOf, ZERO } from "../protocol/position.js";
import { backoff } from "./backoff.js";
import { HttpLink } from "./http-link.js";
import { Roster } from "./presence.js";
import type { ControlItem, Follow, Handlers, Source } from "./source.js";
import type { Token } from "./token.js";

/** Temporary errors; after `token_expired` there will be another token. */
export const PASSING = ["draining", "internal", "limit_exceeded", "rate_limit_exceeded", "store_failed", "store_full", "token_expired", "unavailable"];

/** The limits of a replay buffer: items, and bytes of JSON. */
const KEPT_ITEMS = 4096;
const KEPT_SIZE = 1_000_000;

/** The most events of several records whose start is remembered. */
const JOINED = 1000;

/** The most items that may wait in an iteration. */
const WAITING = 1024;

/** The most subscribers that read what they are missing at a time: other requests need connections. */
const READING = 2;

/** Those that read, and those that wait for their turn with what begins it. */
let reading = 0;
const turns = new Map<Subscriber, () => void>();

// In the source

export class SharedSubscription implements Sink {
  readonly roster: Roster;
  readonly #url: string;
  readonly #stream: string;
  readonly #gone: () => void;
  readonly #token: Token | undefined;
  readonly #subscribers = new Set<Subscriber>();
  readonly #kept = new ReplayBuffer();
  #link: Link | undefined;
  #asked: From = "now";
  #tail: Position | undefined;
  #waiting = false;
  #closed = false;
  #refused: HubError | undefined;
  #refusals = 0;

  /** `gone` is called when nobody follows it or is a member any more. */
  constructor(url: string, stream: string, gone: () => void, token?: Token) {
    this.#url = url;
    this.#stream = stream;
    this.#gone = gone;
    this.#token = token;
    this.roster = new Roster(stream, () => { this.#leave(); });
  }

  follow(from: From, listener: SignalListener): () => void {
    const subscriber = new Subscriber(from, listener);
    this.#subscribers.add(subscriber);
    // Not at once, because the caller must first have the function that stops it.
    queueMicrotask(() => { this.#place(subscriber); });
    return () => { this.#drop(subscriber); };
  }

  /** Continue over a new link. */
  attach(link: Link): void {
    this.#link = link;
    if (this.#closed || this.#refused) return;
    const [first] = this.#subscribers;
    this.#asked = this.#kept.end ?? first?.at ?? "now";
    link.follow(this.#stream, this.#asked, this);
    this.roster.attach(link);
  }

  /** The link is lost. */
  detach(): void {
    this.#link = undefined;
    this.roster.detach();
    for (const subscriber of this.#subscribers) subscriber.rest();
  }

  /** Nobody needs it any more. */
  close(): void {
    if (!this.#closed) this.#link?.leave(this.#stream);
    this.detach();
  }

  // Events of the link

  begun(position: Position | null | undefined, tail: Position | null | undefined): void {
    this.#refusals = 0;
    this.#waiting = position === null;
    if (position === null) {
      if (this.#kept.end !== undefined && this.#kept.end !== ZERO) this.reset(ZERO, "deleted");
      this.#kept.begin(ZERO, "start", this.#asked);
    } else if (this.#kept.end === undefined) this.#kept.begin(position ?? "", this.#asked);
    this.#see(tail ?? position ?? undefined);
    for (const subscriber of [...this.#subscribers]) {
      if (!subscriber.joined) this.#place(subscriber);
      else if (this.#waiting) subscriber.tell({ name: "waiting" });
      else subscriber.give([], this.#tail);
    }
  }

  items(items: readonly Item[], size: number): void {
    const news = this.#kept.add(items, size);
    this.#waiting = false;
    this.#see(this.#kept.end);
    for (const subscriber of [...this.#subscribers]) {
      if (subscriber.joined) subscriber.give(news, this.#tail);
      else this.#place(subscriber);
    }
  }

  reset(position: Position, reason: string): void {
    this.#kept.reset(position, reason);
    if (this.#tail !== undefined && this.#tail < position) this.#tail = position;
    for (const subscriber of [...this.#subscribers]) if (subscriber.joined) subscriber.reset(position, reason);
  }

  closed(): void {
    this.#closed = true;
    this.roster.detach();
    for (const subscriber of [...this.#subscribers]) if (subscriber.joined) this.#end(subscriber, { name: "closed" });
  }

  refused(error: HubError): void {
    if (PASSING.includes(error.code)) {
      const link = this.#link;
      setTimeout(() => {
        if (link && link === this.#link) this.attach(link);
      }, backoff(++this.#refusals));
      return;
    }
    this.#refused = error;
    for (const subscriber of [...this.#subscribers]) this.#end(subscriber, failed(error));
  }

  members(joined: readonly Joined[], left: readonly string[]): void {
    this.roster.members(joined, left);
  }

  named(label: string, member: string): void {
    this.roster.named(label, member);
  }

  // Subscribers

  /** Let a subscriber join, or read what it is missing. */
  #place(subscriber: Subscriber): void {
    if (!this.#subscribers.has(subscriber) || subscriber.joined) return;
    if (this.#refused) {
      this.#end(subscriber, failed(this.#refused));
      return;
    }
    const { start, end } = this.#kept;
    if (end === undefined) return;
    const missed = subscriber.at === "now" ? [] : this.#kept.after(subscriber.at);
    if (!missed) {
      this.#read(subscriber);
      return;
    }
    if (subscriber.at === "now") subscriber.place(this.#tail ?? end);
    else if (subscriber.at === "start" && start) subscriber.place(start);
    subscriber.rest();
    subscriber.joined = true;
    subscriber.give(missed, this.#tail);
    if (this.#waiting) subscriber.tell({ name: "waiting" });
    if (this.#closed) this.#end(subscriber, { name: "closed" });
  }

  #read(subscriber: Subscriber): void {
    if (!this.#link || subscriber.reading) return;
    if (reading >= READING) {
      turns.set(subscriber, () => { this.#place(subscriber); });
      return;
    }
    const again = (): void => {
      subscriber.rest();
      setTimeout(() => { this.#place(subscriber); }, backoff(subscriber.failures++));
    };
    const sink: Sink = {
      begun: () => undefined,
      items: (items) => {
        subscriber.failures = 0;
        subscriber.give(items, this.#tail);
        this.#place(subscriber);
      },
      reset: (position, reason) => {
        subscriber.reset(position, reason);
        this.#place(subscriber);
      },
      closed: () => { this.#end(subscriber, { name: "closed" }); },
      refused: (error) => {
        if (PASSING.includes(error.code)) again();
        else this.#end(subscriber, failed(error));
      },
    };
    reading++;
    subscriber.reading = new HttpLink(this.#url, { lost: again, denied: again }, this.#token);
    subscriber.reading.follow(this.#stream, subscriber.at, sink);
  }

  #see(tail: Position | undefined): void {
    if (tail !== undefined && tail > (this.#tail ?? "")) this.#tail = tail;
  }

  #end(subscriber: Subscriber, last: Signal): void {
    subscriber.tell(last);
    this.#drop(subscriber);
  }

  #drop(subscriber: Subscriber): void {
    subscriber.stop();
    if (this.#subscribers.delete(subscriber)) this.#leave();
  }

  #leave(): void {
    if (!this.#subscribers.size && this.roster.empty) this.#gone();
  }
}

function failed({ code, message, status }: HubError): Signal {
  return { name: "failed", told: { code, message, status } };
}

/** A subscriber of a shared subscription: its position and its listener. */
class Subscriber {
  /** The next position it wants, as exactly as known. */
  at: From;
  /** It is at the position of the shared subscription. */
  joined = false;
  /** Its own reader until then. */
  reading: HttpLink | undefined;
  failures = 0;
  #listener: SignalListener | undefined;
  #lag: number | undefined;

  constructor(from: From, listener: SignalListener) {
    this.at = from;
    this.#listener = listener;
  }

  place(position: Position): void {
    this.at = position;
    this.tell({ name: "placed", told: position });
  }

  give(items: readonly Item[], tail: Position | undefined): void {
    const { at } = this;
    const news = at === "start" || at === "now" ? items : items.filter(({ position }) => position > at);
    const last = news.at(-1);
    if (last) {
      this.at = last.position;
      this.tell({ name: "items", told: news });
    }
    if (tail === undefined || this.at === "start") return;
    const lag = Math.max(0, offsetOf(tail) - offsetOf(this.at));
    if (lag !== this.#lag) this.tell({ name: "lag", told: (this.#lag = lag) });
  }

  reset(position: Position, reason: string): void {
    this.at = position;
    this.tell({ name: "reset", told: [position, reason] });
  }

  /** Stop it; it receives nothing more. */
  stop(): void {
    this.rest();
    this.#listener = undefined;
  }

  /** Stop its own reader. */
  rest(): void {
    turns.delete(this);
    if (!this.reading) return;
    this.reading.close();
    this.reading = undefined;
    reading--;
    const waiting = [...turns.values()];
    turns.clear();
    for (const begin of waiting) begin();
  }

  /** An error in one listener must not affect the others. */
  tell(signal: Signal): void {
    try {
      this.#listener?.(signal);
    } catch (error) {
      queueMicrotask(() => { throw error; });
    }
  }
}

/**
 * The newest items of a stream, within bounds, and the places between them.
 *
 * A place is identified by the position before or after an item, and the first also by the `from`
 * that was requested. Positions are compared as a whole, because the same offset in two epochs may
 * have different texts.
 */
class ReplayBuffer {
  /** The position after the last item; `undefined` before `begin`. */
  end: Position | undefined;
  #items: Item[] = [];
  #heads: From[] = [];
  #size = 0;

  /** Start at `position`, for which these values of `from` stand, too. */
  begin(position: Position, ...asked: From[]): void {
    this.end = position;
    this.#heads = [position, ...asked];
    this.#items = [];
    this.#size = 0;
  }

  /** The position of the first item; "" if it is not known. */
  get start(): Position {
    return this.#heads[0] ?? "";
  }

  /** Add items, and return those that are new. `size` is the approximate size of their JSON. */
  add(items: readonly Item[], size: number): readonly Item[] {
    const { end = "" } = this;
    const news = items[0] && items[0].position > end ? items : items.filter(({ position }) => position > end);
    for (const item of news) this.#items.push(item);
    this.end = news.at(-1)?.position ?? end;
    this.#size += size;
    if (this.#items.length > KEPT_ITEMS || this.#size > KEPT_SIZE) this.#forget();
    return news;
  }

  /** Items after `position` are void, or those before it are lost. */
  reset(position: Position, reason: string): void {
    const offset = offsetOf(position);
    const valid = this.#items.filter((item) => offsetOf(item.position) <= offset);
    const heads = this.#heads.filter((head) => offsetOf(head) <= offset);
    const ends = valid.at(-1)?.position ?? heads[0];
    if (ends !== undefined && offsetOf(ends) === offset) {
      this.#items = valid;
      this.#heads = heads;
      this.end = position;
    } else this.begin(position, ...(reason === "trimmed" ? ["start"] : []));
  }

  /** The items from a place on; `undefined` if no kept item starts or ends there. */
  after(place: From): readonly Item[] | undefined {
    if (place === this.end) return [];
    if (this.#heads.includes(place)) return this.#items;
    const index = this.#items.findLastIndex(({ position }) => position === place);
    return index < 0 ? undefined : this.#items.slice(index + 1);
  }

  #forget(): void {
    const gone = this.#items.splice(0, Math.ceil(this.#items.length / 2));
    this.#heads = gone.slice(-1).map(({ position }) => position);
    this.#size /= 2;
  }
}

// In the page

/** A page's `follow`: it has a position, and continues from there on another source. */
export class Subscription {
  readonly #stream: string;
  readonly #handlers: Handlers;
  readonly #over: () => void;
  /** The starts and ends of the newest events that are several records. */
  readonly #joined: (readonly [From, Position])[] = [];
  #from: From;
  #stopped = false;
  #stop: (() => void) | undefined;

  /** `over` is called when it has ended. */
  constructor(stream: string, from: From, handlers: Handlers, over: () => void) {
    this.#stream = stream;
    this.#from = from;
    this.#handlers = handlers;
    this.#over = over;
  }

  attach(source: Source): void {
    this.#stop?.();
    this.#stop = source.follow(this.#stream, this.#from, (signal) => {
      switch (signal.name) {
        case "placed":
          this.#from = signal.told;
          break;
        case "items":
          for (const { position } of signal.told) this.#goOn(position);
          break;
        case "reset": {
          const [position, reason] = signal.told;
          this.#goBack(position);
          const inside = this.#from !== position;
          this.#handlers.reset?.(this.#from, reason);
          if (inside && !this.#stopped) this.attach(source);
          return;
        }
        case "closed":
        case "failed":
          this.#over();
      }
      handle(signal, this.#handlers);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#over();
    this.#stop?.();
  }

  /** Stop it with an error. */
  fail(error: HubError): void {
    this.stop();
    this.#handlers.failed?.(error);
  }

  #goOn(position: Position): void {
    if (offsetOf(position) - offsetOf(this.#from) > 1) {
      this.#joined.push([this.#from, position]);
      if (this.#joined.length > JOINED) this.#joined.shift();
    }
    this.#from = position;
  }

  /**
   * Go back to a position or, if that is inside an event, to the start of the event, which is then
   * discarded and read again. Current hubs never reset into an event.
   */
  #goBack(position: Position): void {
    this.#from = position;
    const offset = offsetOf(position);
    for (let last; (last = this.#joined.at(-1)) && offsetOf(last[1]) > offset; this.#joined.pop())
      if (offsetOf(last[0]) < offset) [this.#from] = last;
  }
}

/** Call the handler of a signal. */
export function handle(signal: Signal, handlers: Handlers): void {
  switch (signal.name) {
    case "placed":
      break;
    case "items":
      handlers.items(signal.told);
      break;
    case "reset":
      handlers.reset?.(...signal.told);
      break;
    case "lag":
      handlers.lag?.(signal.told);
      break;
    case "failed":
      handlers.failed?.(new HubError(signal.told.code, signal.told.message, signal.told.status));
      break;
    default:
      handlers[signal.name]?.();
  }
}

/**
 * Follow a stream as an async iterable. The number of waiting items is bounded: at the bound it
 * stops following, and continues from there when the items were taken.
 */
export async function* iterate(follow: Follow, from: From, signal?: AbortSignal): AsyncGenerator<Item | ControlItem> {
  let queue: (Item | ControlItem)[] = [];
  let place = from;
  let over = signal?.aborted ?? false;
  let failed: HubError | undefined;
  let stop: (() => void) | undefined;
  let wake = (): void => undefined;
  const put = (items: readonly (Item | ControlItem)[], position?: Position): void => {
    queue.push(...items);
    place = position ?? place;
    if (queue.length > WAITING) {
      stop?.();
      stop = undefined;
    }
    wake();
  };
  const end = (error?: HubError): void => {
    over = true;
    failed = error;
    wake();
  };
  const handlers: Handlers = {
    items: (items) => { put(items, items.at(-1)?.position); },
    reset: (position, reason) => { put([{ reset: { position, reason } }], position); },
    closed: () => {
      put([{ closed: true }]);
      end();
    },
    failed: end,
  };
  const abort = (): void => {
    queue = [];
    end();
  };
  signal?.addEventListener("abort", abort);
  try {
    for (;;) {
      const taken = queue;
      queue = [];
      for (const item of taken) {
        if (signal?.aborted) return;
        yield item;
      }
      if (queue.length) continue;
      if (failed) throw failed;
      if (over) return;
      stop ??= follow(place, handlers);
      await new Promise<void>((resolve) => { wake = resolve; });
    }
  } finally {
    stop?.();
    signal?.removeEventListener("abort", abort);
  }
}
