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
 * later are read by following the source from there on (chat/fork-watcher.ts).
 *
 * Places are compared by their offsets alone: an offset means the same record in a stream and
 * in its forks, while the epoch in a position may differ for one place, before and after a
 * restart of the hub.
 */

import type { Branch, Position } from "../protocol/events.js";
import { offsetOf } from "../protocol/position.js";
import type { ChatMessage, State } from "./conversation.js";

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

/** Versions of one message. */
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
export function place(stream: string, state: State, message: ChatMessage): Place {
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
function headOf(state: State, position: Position): ChatMessage | undefined {
  const at = offsetOf(position);
  const found = state.turns.find((turn) => offsetOf(turn.before) >= at);
  return found?.kind === "message" ? found : undefined;
}

/** The versions of each message that has more than one, by the message; `elsewhere` are the branches that ancestors hold. */
export function versions(
  stream: string,
  state: State,
  elsewhere: ReadonlyMap<string, readonly Branch[]>,
): ReadonlyMap<ChatMessage, Versions> {
  const found = new Map<ChatMessage, Versions>();
  const line = lineage(stream, state.branches);
  const all = [...state.branches, ...line.flatMap((ancestor) => shared(ancestor, elsewhere))];
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
function shared({ stream, until }: Ancestor, elsewhere: ReadonlyMap<string, readonly Branch[]>): readonly Branch[] {
  const left = until === undefined ? Infinity : offsetOf(until);
  return (elsewhere.get(stream) ?? []).filter(({ position }) => offsetOf(position) <= left);
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
