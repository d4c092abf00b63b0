/**
 * The versions of a turn: what was said in its place.
 *
 * Regenerating a reply and editing a message begin a branch of the same stream: the new turn follows
 * the one that the old one follows (`follows` in model/conversation.ts). The turns that follow one and
 * the same are the versions of each other. Which of them a reader sees is the reader's choice, a
 * turn: what leads to it is shown, and then where its branch has got to.
 *
 * Earlier pages made a conversation of its own for each version, and these are shown still. There
 * the versions of a message are a flat group. A fork starts with a `branch` event `{from, position}`,
 * and `{to, position}` is appended to its source. A fork from any version forks the *owner* of the
 * place, the stream whose own records contain the first version. So the `to`s of the owner, in
 * order, are the whole group, the same for every tab, even if two tabs forked at once.
 *
 * A fork has its source's records up to the place where it starts, including their `branch` events;
 * the `from`s among them, in order, are its *lineage*. Later forks of a source are found by
 * following the source from there on (chat/fork-watcher.ts).
 *
 * Places are compared only by their offsets. An offset means the same record in a stream and in its
 * forks, while the epoch of the same place may differ before and after a restart of the hub.
 */

import type { Branch, Position } from "../protocol/events.js";
import { at, offsetOf } from "../protocol/position.js";
import { type AssistantMessage, branch, type ChatMessage, placeOf, type State, type Turns } from "./conversation.js";

type Turn = ChatMessage | AssistantMessage;

/** One of the versions of a turn. */
export interface Version {
  readonly stream: string;
  /** The name of the turn, in a conversation that has several. */
  readonly turn?: string;
}

/** The versions of a turn, the oldest first. */
export interface Versions {
  readonly choices: readonly Version[];
  /** The index of the current one. */
  readonly shown: number;
  /** The same for all of them. */
  readonly position: Position;
}

/** An ancestor of a conversation, which branched off at `until`, or the conversation itself. */
interface Ancestor {
  readonly stream: string;
  readonly until?: Position;
}

/** The most versions of one message that are conversations of their own. */
const MOST = 100;

/** Tells a turn from all others, while a reply grows, too. */
export function keyOf(turn: Turn): string {
  return turn.kind === "reply" ? turn.generation : turn.before || "first";
}

/** What a turn is called in `after` and `branch`: the position after its first record. */
export function nameOf({ before }: Turn): string {
  return at(before, offsetOf(before) + 1);
}

/**
 * What an answer in the place of a reply follows: the message that it answers, not an attempt before it.
 * Of turns of any branch, which need not be the one that the stream is on.
 */
export function answered(all: Turns, reply: AssistantMessage): Turn | undefined {
  return upTo(all, reply)?.slice(0, -1).findLast((turn) => turn.kind === "message");
}

/** What a message in the place of another follows; `null` is the beginning. */
export function before(all: Turns, message: ChatMessage): string | null | undefined {
  const turns = upTo(all, message);
  if (!turns) return undefined;
  const follows = turns.at(-2);
  return follows ? nameOf(follows) : null;
}

/** The turns that lead to one, and itself; nothing if it is not there any more. */
function upTo(all: Turns, turn: Turn): Turns | undefined {
  const place = all.findIndex((one) => keyOf(one) === keyOf(turn));
  return place < 0 ? undefined : branch(all, place);
}

/** The state with the branch of the first of `choices` that is there; without any, the one that the stream is on. */
export function chosen(state: State, ...choices: readonly (string | undefined)[]): State {
  const { all } = state;
  const place = choices.map((name) => placeOf(all, name)).find((found) => found !== undefined && found >= 0);
  const end = place === undefined ? all.length - 1 : newest(all, place);
  return end === all.length - 1 ? state : { ...state, turns: branch(all, end) };
}

/** The name of the branch that a state shows, if it is not the one that the stream is on. */
export function shownAside({ all, turns }: State): string | undefined {
  const last = turns.at(-1);
  return last && last !== all.at(-1) ? nameOf(last) : undefined;
}

/** Where the branches of a turn have got to: the index of the last turn that follows it, or its own. */
export function newest(all: Turns, place: number): number {
  const within = new Set([place]);
  let last = place;
  for (let later = place + 1; later < all.length; later++) {
    if (!within.has(all[later]?.follows ?? later - 1)) continue;
    within.add(later);
    last = later;
  }
  return last;
}

/** The turns that follow each place, in the order in which they began. */
function followers(all: Turns): ReadonlyMap<number, readonly Turn[]> {
  const found = new Map<number, Turn[]>();
  all.forEach((turn, place) => {
    const follows = turn.follows ?? place - 1;
    const others = found.get(follows);
    if (others) others.push(turn);
    else found.set(follows, [turn]);
  });
  return found;
}

/** For each turn of all branches, those that follow the same one. */
export function siblings({ all }: State): ReadonlyMap<Turn, readonly Turn[]> {
  return new Map([...followers(all).values()].flatMap((group) => group.map((turn) => [turn, group] as const)));
}

/** Nothing came of it, so it is not worth going back to. */
const isVain = (turn: Turn): boolean => turn.kind === "reply" && turn.state === "failed" && turn.text === "";

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

/** The first message at or after a place. */
function headOf({ all }: State, position: Position): ChatMessage | undefined {
  const place = offsetOf(position);
  const found = all.find((turn) => offsetOf(turn.before) >= place);
  return found?.kind === "message" ? found : undefined;
}

/**
 * The versions of each turn that has several, by `keyOf`; `elsewhere` has the branches of ancestors.
 */
export function versions(
  stream: string,
  state: State,
  elsewhere: ReadonlyMap<string, readonly Branch[]>,
): ReadonlyMap<string, Versions> {
  const found = new Map<string, Versions>();
  if (state.branches.length === 0 && state.all.every(({ follows }) => follows === undefined)) return found;
  const beside = siblings(state);
  for (const turn of state.turns) {
    const others = beside.get(turn) ?? [];
    const group = others.filter((other) => other === turn || !isVain(other));
    if (group.length < 2) continue;
    const choices = group.map((other) => ({ stream, turn: nameOf(other) }));
    found.set(keyOf(turn), { choices, shown: group.indexOf(turn), position: others[0]?.before ?? "" });
  }
  for (const { position, streams, shown } of forks(stream, state.branches, elsewhere)) {
    const head = headOf(state, position);
    const group = head && beside.get(head);
    const turn = group && state.turns.find((one) => group.includes(one));
    if (turn === undefined) continue;
    const here = found.get(keyOf(turn)) ?? { choices: [{ stream: streams[shown] ?? stream }], shown: 0 };
    const others = streams.map((other) => ({ stream: other }));
    const choices = others.toSpliced(shown, 1, ...here.choices);
    found.set(keyOf(turn), { choices, shown: shown + here.shown, position });
  }
  return found;
}

/** The conversations that branch off at one place; the first is its owner. */
interface Forks {
  readonly position: Position;
  readonly streams: readonly string[];
  readonly shown: number;
}

function forks(stream: string, branches: readonly Branch[], elsewhere: ReadonlyMap<string, readonly Branch[]>): readonly Forks[] {
  const line = lineage(stream, branches);
  const all = [...branches, ...line.flatMap((ancestor) => shared(ancestor, elsewhere))];
  return line.flatMap(({ stream: owner, until }, i) => {
    const left = until === undefined ? undefined : offsetOf(until);
    return Array.from(places(all, line[i - 1]?.until, until), (position) => {
      const here = offsetOf(position);
      const made = all.filter(({ to, position: place }) => to !== undefined && offsetOf(place) === here);
      const through = here === left ? (line[i + 1]?.stream ?? stream) : owner;
      const streams = [...new Set([owner, ...made.map(({ to }) => to ?? ""), through])].slice(0, MOST);
      return { position, streams, shown: Math.max(0, streams.indexOf(through)) };
    }).filter(({ streams }) => streams.length > 1);
  });
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
    const place = offsetOf(position);
    if (to !== undefined && place > first && (last === undefined || place <= last)) own.set(place, position);
  }
  if (until !== undefined && last !== undefined) own.set(last, until);
  return own.values();
}
