/**
 * The shared list of a user's conversations as its events tell it, and how it is merged with what the
 * browser has.
 *
 * An event has the fields that it changes, and the later one counts. The browser keeps for each entry
 * what is shared: a field that is the same here and there follows the hub, one that differs was
 * changed here and is still to be sent. So a change that was made offline survives, and two devices
 * that change different fields do not undo each other's changes.
 */

import type { Item, Position } from "../protocol/events.js";
import type { Entry, StoredEntry } from "./conversation-list.js";
import { isName } from "./names.js";

/** The fields of an event, and of what is shared about a conversation. */
interface Fields {
  readonly title?: string;
  readonly named?: boolean;
  readonly pinned?: boolean;
  readonly from?: string;
  /** The time of the last message, in milliseconds since 1970. */
  readonly at?: number;
  readonly removed?: boolean;
}

export interface Shared extends Fields {
  /** The position after the last event about it. */
  readonly position: Position;
}

/** What is told about one conversation. */
export interface ListChange {
  readonly stream: string;
  readonly told: Shared;
}

/** As it is written. */
export interface ListEvent extends Omit<Fields, "at"> {
  readonly type: "conversation";
  readonly stream: string;
  /** RFC 3339. */
  readonly at?: string;
}

/** What is to be stored of an entry; `undefined` is a field that it does not have. */
export type Changes = { readonly [K in keyof Omit<StoredEntry, "name">]?: StoredEntry[K] | undefined };

/** The time of a conversation that is not the latest need not be exact. */
const EXACT_MS = 600_000;
const LONGEST_TITLE = 120;

/** The changes that items tell of; anything else in the stream is passed over. */
export function changesOf(items: readonly Item[]): readonly ListChange[] {
  return items.map(changeOf).filter((change) => change !== undefined);
}

function changeOf({ event, position }: Item): ListChange | undefined {
  const held = event as unknown as Record<keyof ListEvent, unknown> | null;
  if (held?.type !== "conversation" || typeof held.stream !== "string" || !isName(held.stream)) return undefined;
  const { stream, title, named, pinned, from, at, removed } = held;
  if (removed === true) return { stream, told: { removed, position } };
  const time = typeof at === "string" ? Date.parse(at) : NaN;
  const told = {
    position,
    ...(typeof title === "string" && { title: title.slice(0, LONGEST_TITLE) }),
    ...(typeof named === "boolean" && { named }),
    ...(typeof pinned === "boolean" && { pinned }),
    ...(typeof from === "string" && isName(from) && { from }),
    ...(!Number.isNaN(time) && { at: time }),
  };
  return { stream, told };
}

/** An entry after the shared list has told something about it. */
export function merged(entry: StoredEntry | undefined, told: Shared): Changes {
  const before = entry?.shared;
  // Another tab has heard more, and has stored it.
  if (entry && before && told.position <= before.position) return entry;
  if (told.removed) return { title: "", at: entry?.at ?? 0, gone: true, shared: told };
  const known = before?.removed ? undefined : before;
  const shared: Shared = { ...known, ...told };
  // Removed here, which is still to be sent.
  if (entry?.gone && !before?.removed) return { ...entry, shared };
  return { ...together(entry?.gone ? undefined : entry, known, shared), shared };
}

function together(here: Entry | undefined, known: Shared | undefined, shared: Shared): Changes {
  const renamed = here && (known ? here.title !== known.title || differ(here.named, known.named) : here.named && !shared.named);
  const { title = here?.title ?? "", named } = renamed ? here : shared;
  const moved = here && differ(here.pinned, known?.pinned);
  return {
    title,
    at: Math.max(here?.at ?? 0, shared.at ?? 0),
    named,
    pinned: moved ? here.pinned : shared.pinned,
    from: here?.from ?? shared.from,
    running: here?.running,
  };
}

/** Whether two flags differ; one that is not there is off. */
const differ = (one = false, other = false): boolean => one !== other;

/** The event that tells the others what was changed here; `undefined` if there is nothing to tell. */
export function changesIn(entry: StoredEntry, all: readonly Entry[]): ListEvent | undefined {
  const { name, title, at, named, pinned, from, gone, shared } = entry;
  const type = "conversation";
  if (gone) return shared && !shared.removed ? { type, stream: name, removed: true } : undefined;
  const has = shared?.removed ? undefined : shared;
  const fields: Omit<ListEvent, "type" | "stream"> = {
    ...((title !== (has?.title ?? "") || differ(named, has?.named)) && { title }),
    ...(differ(named, has?.named) && { named: named ?? false }),
    ...(differ(pinned, has?.pinned) && { pinned: pinned ?? false }),
    ...(from !== undefined && from !== has?.from && { from }),
    ...(isLater(entry, has?.at, all) && { at: new Date(at).toISOString() }),
  };
  return Object.keys(fields).length > 0 ? { type, stream: name, ...fields } : undefined;
}

/** Whether the others would place it elsewhere, or show another time. */
function isLater({ name, at }: Entry, known: number | undefined, all: readonly Entry[]): boolean {
  if (known === undefined) return true;
  return at > known && (at - known > EXACT_MS || all.some((other) => other.name !== name && other.at >= known && other.at < at));
}
