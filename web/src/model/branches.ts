/**
 * The versions of a message, each of which is a conversation of its own.
 *
 * Editing a message or regenerating its reply forks the stream just before it. The fork starts with
 * a `branch` event `{from, position}`, and `{to, position}` is appended to its source. The versions
 * of a message are a flat group: a fork from any version forks the *owner* of the place, the stream
 * whose own records contain the first version. So the `to`s of the owner, in order, are the whole
 * group, the same for every tab, even if two tabs fork at once.
 *
 * A fork has its source's records up to the place where it starts, including their `branch` events;
 * the `from`s among them, in order, are its *lineage*. Later forks of a source are found by
 * following the source from there on (chat/fork-watcher.ts).
 *
 * Places are compared only by their offsets. An offset means the same record in a stream and in its
 * forks, while the epoch of the same place may differ before and after a restart of the hub.
 */

import type { Branch, Position } from "../protocol/events.js";
import { offsetOf } from "../protocol/position.js";
import type { ChatMessage, State } from "./conversation.js";

/** The conversations that branch off at one place. */
export interface Versions {
  /** The first is the owner of the place. */
  readonly streams: readonly string[];
  /** The index of the current one. */
  readonly shown: number;
  readonly position: Position;
}

/** Where to fork for another version of a message. */
export interface Place {
  readonly source: string;
  readonly position: Position;
}

/** An ancestor of a conversation, which branched off at `until`, or the conversation itself. */
interface Ancestor {
  readonly stream: string;
  readonly until?: Position;
}

/** The most versions of one message. */
const MOST = 100;

/** The ancestors of a conversation from the first one on, and itself. */
export function lineage(stream: string, branches: readonly Branch[]): readonly Ancestor[] {
  const found: Ancestor[] = [];
  for (const { from, position } of branches) {
    const last = found.at(-1);
    // A retried append may appear twice.
    if (from === undefined || (last?.stream === from && last.until === position)) continue;
    found.push({ stream: from, until: position });
  }
  return [...found, { stream }];
}

/** Where another version of a message starts. */
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

/** The versions of each message that has several; `elsewhere` has the branches of ancestors. */
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

/** The forks of an ancestor in the part that it shares with the conversation. */
function shared({ stream, until }: Ancestor, elsewhere: ReadonlyMap<string, readonly Branch[]>): readonly Branch[] {
  const left = until === undefined ? Infinity : offsetOf(until);
  return (elsewhere.get(stream) ?? []).filter(({ position }) => offsetOf(position) <= left);
}

/** Where an ancestor was forked among its own records, after `since` and up to `until`. */
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
