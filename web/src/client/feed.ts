/**
 * A stream that is followed once, for as many followers as there are.
 *
 * A follower *joins* when it stands where the feed stands: from then on it is told what the feed
 * is told, and there is no seam. One that comes later first takes what is kept. One that asks for
 * what the feed never had, or has let go, reads by itself until it stands between two kept items.
 */

import { backoff } from "./backoff.js";
import { EventStream } from "./eventstream.js";
import type { From, Item, Position } from "./events.js";
import type { Told } from "./follower.js";
import { Follower } from "./follower.js";
import type { HubError } from "./hub.js";
import { Kept } from "./kept.js";
import type { Joined, Link, Sink } from "./link.js";
import { ZERO } from "./position.js";
import { Roster } from "./roster.js";

/** Refusals that pass by themselves. */
const PASSING = ["draining", "internal", "limit_exceeded", "store_failed", "store_full"];

export class Feed implements Sink {
  readonly roster: Roster;
  readonly #url: string;
  readonly #stream: string;
  readonly #gone: () => void;
  readonly #followers = new Set<Follower>();
  readonly #kept = new Kept();
  #link: Link | undefined;
  #asked: From = "now";
  #tail: Position | undefined;
  #waiting = false;
  #closed = false;
  #refused: HubError | undefined;
  #refusals = 0;

  /** `gone` is called when nobody follows it or takes part in it any more. */
  constructor(url: string, stream: string, gone: () => void) {
    this.#url = url;
    this.#stream = stream;
    this.#gone = gone;
    this.roster = new Roster(stream, () => { this.#leave(); });
  }

  follow(from: From, told: Told): () => void {
    const follower = new Follower(from, told);
    this.#followers.add(follower);
    // Not at once: the caller must first have what ends it.
    queueMicrotask(() => { this.#place(follower); });
    return () => { this.#drop(follower); };
  }

  /** There is a link: go on over it. */
  attach(link: Link): void {
    this.#link = link;
    if (this.#closed || this.#refused) return;
    const [first] = this.#followers;
    this.#asked = this.#kept.end ?? first?.at ?? "now";
    link.follow(this.#stream, this.#asked, this);
    this.roster.attach(link);
  }

  /** The link is lost. */
  detach(): void {
    this.#link = undefined;
    this.roster.detach();
    for (const follower of this.#followers) follower.rest();
  }

  /** Nobody needs it any more. */
  close(): void {
    if (!this.#closed) this.#link?.leave(this.#stream);
    this.detach();
  }

  // What the link tells

  begun(position: Position | null | undefined, tail: Position | null | undefined): void {
    this.#refusals = 0;
    this.#waiting = position === null;
    if (position === null) {
      if (this.#kept.end !== undefined && this.#kept.end !== ZERO) this.reset(ZERO, "deleted");
      this.#kept.begin(ZERO, "start", this.#asked);
    } else if (this.#kept.end === undefined) this.#kept.begin(position ?? "", this.#asked);
    this.#see(tail ?? position ?? undefined);
    for (const follower of [...this.#followers]) {
      if (!follower.joined) this.#place(follower);
      else if (this.#waiting) follower.wait();
      else follower.give([], this.#tail);
    }
  }

  items(items: readonly Item[], size: number): void {
    const news = this.#kept.add(items, size);
    this.#waiting = false;
    this.#see(this.#kept.end);
    for (const follower of [...this.#followers]) {
      if (follower.joined) follower.give(news, this.#tail);
      else this.#place(follower);
    }
  }

  reset(position: Position, reason: string): void {
    this.#kept.reset(position, reason);
    if (this.#tail !== undefined && this.#tail < position) this.#tail = position;
    for (const follower of [...this.#followers]) if (follower.joined) follower.reset(position, reason);
  }

  closed(): void {
    this.#closed = true;
    this.roster.detach();
    for (const follower of [...this.#followers]) if (follower.joined) this.#end(follower);
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
    for (const follower of [...this.#followers]) this.#fail(follower, error);
  }

  members(joined: readonly Joined[], left: readonly string[]): void {
    this.roster.members(joined, left);
  }

  named(label: string, member: string): void {
    this.roster.named(label, member);
  }

  // Followers

  /** Let a follower join, or else read by itself what it misses. */
  #place(follower: Follower): void {
    if (!this.#followers.has(follower) || follower.joined) return;
    if (this.#refused) {
      this.#fail(follower, this.#refused);
      return;
    }
    const { start, end } = this.#kept;
    if (end === undefined) return;
    const missed = follower.at === "now" ? [] : this.#kept.after(follower.at);
    if (!missed) {
      this.#read(follower);
      return;
    }
    if (follower.at === "now") follower.place(this.#tail ?? end);
    else if (follower.at === "start" && start) follower.place(start);
    follower.rest();
    follower.joined = true;
    follower.give(missed, this.#tail);
    if (this.#waiting) follower.wait();
    if (this.#closed) this.#end(follower);
  }

  #read(follower: Follower): void {
    if (!this.#link || follower.reading) return;
    const again = (): void => {
      follower.rest();
      setTimeout(() => { this.#place(follower); }, backoff(follower.failures++));
    };
    const sink: Sink = {
      begun: () => undefined,
      items: (items) => {
        follower.failures = 0;
        follower.give(items, this.#tail);
        this.#place(follower);
      },
      reset: (position, reason) => {
        follower.reset(position, reason);
        this.#place(follower);
      },
      closed: () => { this.#end(follower); },
      refused: (error) => {
        if (PASSING.includes(error.code)) again();
        else this.#fail(follower, error);
      },
    };
    follower.reading = new EventStream(this.#url, this.#stream, follower.at, sink, again);
  }

  #see(tail: Position | undefined): void {
    if (tail !== undefined && tail > (this.#tail ?? "")) this.#tail = tail;
  }

  #end(follower: Follower): void {
    follower.end();
    this.#drop(follower);
  }

  #fail(follower: Follower, error: HubError): void {
    follower.fail(error);
    this.#drop(follower);
  }

  #drop(follower: Follower): void {
    follower.stop();
    if (this.#followers.delete(follower)) this.#leave();
  }

  #leave(): void {
    if (!this.#followers.size && this.roster.empty) this.#gone();
  }
}
