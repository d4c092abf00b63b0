/**
 * The versions of a message: where conversations part.
 *
 * To edit a message, or to have its answer again, is to fork the stream just before it. The
 * fork says first `{from, position}`, and its source gets `{to, position}` appended. So the
 * conversations around a message are a flat group, and this file keeps it flat: whoever forks,
 * from whichever version, forks the *owner* of the place, the stream whose own records the
 * first version stands in. The owner's `to`s, in their order, are then the whole group, the
 * same for every tab; two tabs that fork at once are simply two of them.
 *
 * A fork holds its source's records up to where it began, and with them the branches told
 * there; the `from`s among them, in order, are its *lineage*. Forks that were told in a source
 * later are read by following the source from there on (`Sources`).
 *
 * Places are compared by their offsets alone: an offset means the same record in a stream and
 * in its forks, while the epoch in a position may differ for one place, before and after a
 * restart of the hub.
 */

import type { Branch, Position } from "../../client/events.js";
import type { Hub } from "../../client/hub.js";
import { offsetOf } from "../../client/position.js";
import type { Said, State } from "../../client/state.js";

/** The conversations that go on differently from one place. */
export interface Versions {
  /** The first is the owner of the place. */
  readonly streams: readonly string[];
  /** Which of them is shown. */
  readonly shown: number;
  readonly position: Position;
}

/** Where to fork for another version of a message. */
export interface Place {
  readonly source: string;
  readonly position: Position;
}

/** An ancestor of a conversation, or itself; it was left at `until`. */
interface Ancestor {
  readonly stream: string;
  readonly until?: Position;
}

/** Ancestors that are followed. */
const FOLLOWED = 8;
/** Versions of one message, and forks told by one ancestor. */
const MOST = 100;

/** From the first conversation down to this one. */
export function lineage(stream: string, branches: readonly Branch[]): readonly Ancestor[] {
  const found: Ancestor[] = [];
  for (const { from, position } of branches) {
    const last = found.at(-1);
    // An append that was retried may be told twice.
    if (from === undefined || (last?.stream === from && last.until === position)) continue;
    found.push({ stream: from, until: position });
  }
  return [...found, { stream }];
}

/** Where another version of a message begins. */
export function place(stream: string, state: State, message: Said): Place {
  const line = lineage(stream, state.branches);
  const at = offsetOf(message.before);
  let source = stream;
  for (const { stream: ancestor, until } of line) {
    if (until === undefined) break;
    const left = offsetOf(until);
    if (at < left) return { source: ancestor, position: message.before };
    const head = headOf(state, until);
    if (head && offsetOf(head.before) === at) return { source: ancestor, position: until };
    source = stream;
  }
  return { source, position: message.before };
}

/** The first message at or after a place. */
function headOf(state: State, position: Position): Said | undefined {
  const at = offsetOf(position);
  const found = state.turns.find((turn) => offsetOf(turn.before) >= at);
  return found?.kind === "message" ? found : undefined;
}

/** The versions of each message that has more than one, by the message. */
export function versions(
  stream: string,
  state: State,
  told: ReadonlyMap<string, readonly Branch[]>,
): ReadonlyMap<Said, Versions> {
  const found = new Map<Said, Versions>();
  const line = lineage(stream, state.branches);
  const all = [...state.branches, ...line.flatMap((ancestor) => shared(ancestor, told))];
  line.forEach(({ stream: owner, until }, i) => {
    const left = until === undefined ? undefined : offsetOf(until);
    const since = line[i - 1]?.until;
    for (const position of places(all, since, until)) {
      const here = offsetOf(position);
      const forks = all.filter(({ to, position: at }) => to !== undefined && offsetOf(at) === here);
      const through = here === left ? (line[i + 1]?.stream ?? stream) : owner;
      const streams = [...new Set([owner, ...forks.map(({ to }) => to ?? ""), through])].slice(0, MOST);
      const head = headOf(state, position);
      if (head === undefined || streams.length < 2) continue;
      found.set(head, { streams, shown: Math.max(0, streams.indexOf(through)), position });
    }
  });
  return found;
}

/** The forks of an ancestor that are of interest: not those of what it says after it was left. */
function shared({ stream, until }: Ancestor, told: ReadonlyMap<string, readonly Branch[]>): readonly Branch[] {
  const left = until === undefined ? Infinity : offsetOf(until);
  return (told.get(stream) ?? []).filter(({ position }) => offsetOf(position) <= left);
}

/** Where an ancestor was forked in its own part, after `since` and up to `until`. */
function places(branches: readonly Branch[], since?: Position, until?: Position): Iterable<Position> {
  const own = new Map<number, Position>();
  const first = since === undefined ? -1 : offsetOf(since);
  const last = until === undefined ? undefined : offsetOf(until);
  for (const { to, position } of branches) {
    const at = offsetOf(position);
    if (to !== undefined && at > first && (last === undefined || at <= last)) own.set(at, position);
  }
  if (until !== undefined && last !== undefined) own.set(last, until);
  return own.values();
}

/** The forks that a conversation's ancestors were told of after it had left them, live. */
export class Sources {
  readonly #hub: Hub;
  readonly #changed: (told: ReadonlyMap<string, readonly Branch[]>) => void;
  #told: ReadonlyMap<string, readonly Branch[]> = new Map();
  readonly #followed = new Map<string, () => void>();

  constructor(hub: Hub, changed: (told: ReadonlyMap<string, readonly Branch[]>) => void) {
    this.#hub = hub;
    this.#changed = changed;
  }

  /** Follow the ancestors of a conversation, the nearest few of them. */
  follow(stream: string, branches: readonly Branch[]): void {
    for (const { stream: ancestor, until } of lineage(stream, branches).slice(-FOLLOWED - 1)) {
      if (until === undefined || ancestor === stream || this.#followed.has(ancestor)) continue;
      if (this.#followed.size >= FOLLOWED) return;
      this.#followed.set(ancestor, () => undefined);
      this.#followed.set(ancestor, this.#begin(ancestor, until));
    }
  }

  stop(): void {
    for (const end of this.#followed.values()) end();
    this.#followed.clear();
    this.#told = new Map();
  }

  #begin(ancestor: string, from: Position): () => void {
    let told: readonly Branch[] = [];
    const tell = (now: readonly Branch[]): void => {
      told = now;
      this.#told = new Map(this.#told).set(ancestor, told);
      this.#changed(this.#told);
    };
    return this.#hub.follow(ancestor, {
      from: from || "start",
      items: (items) => {
        // A stream may hold any JSON, `null` too.
        const more = items.flatMap(({ event }) => ((event as Branch | null)?.type === "branch" ? [event as Branch] : []));
        if (more.length > 0) tell([...told, ...more].slice(-MOST));
      },
      // What comes again is told again; `versions` counts each conversation once.
      reset: () => undefined,
      failed: () => undefined,
    });
  }
}
