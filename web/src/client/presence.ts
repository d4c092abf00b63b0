/** The members of streams, folded from updates, and the page's own participations. */

import type { Joined, Link, Member } from "../protocol/frames.js";
import type { Presence, Source } from "./source.js";
import { unique } from "./unique.js";

interface Participant {
  state: unknown;
  member: string | undefined;
  readonly changed: (members: readonly Member[]) => void;
}

/** The members of one stream of a source. */
export class Roster {
  readonly #stream: string;
  readonly #left: () => void;
  readonly #here = new Map<string, Participant>();
  #states = new Map<string, unknown>();
  #link: Link | undefined;
  #fresh = true;

  /** `left` is called when one of this source's participants has left. */
  constructor(stream: string, left: () => void) {
    this.#stream = stream;
    this.#left = left;
  }

  /** None of this source's participants is in it. */
  get empty(): boolean {
    return this.#here.size === 0;
  }

  add(state: unknown, changed: (members: readonly Member[]) => void): Presence {
    const label = unique();
    const participant: Participant = { state, member: undefined, changed };
    // The first participant is sent all members.
    if (this.empty) this.#fresh = true;
    this.#here.set(label, participant);
    this.#link?.join(this.#stream, label, state);
    return {
      set: (now) => {
        if (!this.#here.has(label)) return;
        participant.state = now;
        this.#link?.join(this.#stream, label, now);
      },
      leave: () => {
        if (!this.#here.delete(label)) return;
        this.#link?.join(this.#stream, label, null);
        this.#left();
      },
    };
  }

  /** The stream is followed over this link: join with all participants. */
  attach(link: Link): void {
    this.#link = link;
    this.#fresh = true;
    for (const [label, { state }] of this.#here) link.join(this.#stream, label, state);
  }

  /** The old members stay until the new ones are known. */
  detach(): void {
    this.#link = undefined;
  }

  members(joined: readonly Joined[], left: readonly string[]): void {
    // A link starts with all members; those who have left are not among them.
    if (this.#fresh) this.#states = new Map();
    this.#fresh = false;
    for (const member of left) this.#states.delete(member);
    for (const { member, state } of joined) this.#states.set(member, state);
    this.#tell();
  }

  named(label: string, member: string): void {
    const participant = this.#here.get(label);
    if (!participant || participant.member === member) return;
    participant.member = member;
    this.#tell();
  }

  #tell(): void {
    const all = [...this.#states];
    for (const { member: mine, changed } of [...this.#here.values()])
      changed(all.map(([member, state]) => ({ member, state, self: member === mine })));
  }
}

/** A page's participation in one stream, which survives a change of source. */
export class Participation implements Presence {
  readonly #stream: string;
  readonly #changed: (members: readonly Member[]) => void;
  readonly #over: () => void;
  #state: unknown;
  #presence: Presence | undefined;

  /** `over` is called when it has left. */
  constructor(stream: string, state: unknown, changed: (members: readonly Member[]) => void, over: () => void) {
    this.#stream = stream;
    this.#state = state;
    this.#changed = changed;
    this.#over = over;
  }

  attach(source: Source): void {
    this.#presence?.leave();
    this.#presence = source.presence(this.#stream, this.#state, this.#changed);
  }

  set(state: unknown): void {
    this.#state = state;
    this.#presence?.set(state);
  }

  leave(): void {
    this.#over();
    this.#presence?.leave();
  }
}
