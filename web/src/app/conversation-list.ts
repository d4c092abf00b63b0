/**
 * The conversations of this browser, a stored list that all its tabs share.
 *
 * Without authentication only the browser knows which conversations a user took part in. Otherwise it
 * keeps a copy of the list that the hub has for each user (`ListSync`), and what it has changed and
 * not sent yet: each entry is stored with what is `shared`, as far as the browser has heard.
 *
 * Each is stored under a key of its own: tabs run in several processes, which see each other's
 * values a little later, so of two tabs that store one list at once one would undo what the other
 * did. The list is bounded; the conversation that was inactive for longest leaves it (the
 * conversation itself stays on the hub).
 */

import { plain, wordsOf } from "../model/text-search.js";
import type { Position } from "../protocol/events.js";
import { type Changes, changesIn, type ListChange, type ListEvent, merged, type Shared } from "./list-changes.js";
import type { LocalStore } from "./local-store.js";
import { isName } from "./names.js";

export interface Entry {
  readonly name: string;
  readonly title: string;
  /** The time of the last message, in milliseconds since 1970. */
  readonly at: number;
  /** The user chose the title. */
  readonly named?: boolean;
  /** The user wants it above the others. */
  readonly pinned?: boolean;
  /** The conversation it was forked from. */
  readonly from?: string;
  /** The generation that is running there, as far as known. */
  readonly running?: string;
}

/** An entry as it is stored. */
export interface StoredEntry extends Entry {
  /** It was removed here, or elsewhere; what is `shared` tells. */
  readonly gone?: boolean;
  readonly shared?: Shared;
}

export interface Placed {
  readonly entry: Entry;
  /** How many of its sources are in the list. */
  readonly depth: number;
}

export const MOST = 1000;
const PREFIX = "conversation:";
/** Up to where the shared list was heard. */
const HEARD = "list-position";
/** Under this key earlier versions of the page stored the whole list. */
const WHOLE = "conversations";
const LONGEST_TITLE = 120;

export class ConversationList {
  readonly #listeners = new Set<() => void>();
  #written: (name: string) => void = () => undefined;
  #stored = new Map<string, StoredEntry>();
  #entries: readonly Entry[] | undefined;

  /** `shared`: the list is that of a user, on all their devices. */
  constructor(
    private readonly store: LocalStore,
    readonly shared = false,
  ) {
    this.#divide();
    this.#readAll();
    store.watch(PREFIX, () => {
      this.#readAll();
      this.#changed();
    }, { prefix: true });
  }

  /** The latest first. */
  get entries(): readonly Entry[] {
    return (this.#entries ??= byTime([...this.#stored.values()].filter((entry) => !entry.gone)).slice(0, MOST));
  }

  find(name: string): Entry | undefined {
    const entry = this.#stored.get(name);
    return entry?.gone ? undefined : entry;
  }

  /** Change or add an entry; `undefined` removes a field. */
  put(name: string, changes: { readonly [K in keyof Omit<Entry, "name">]?: Entry[K] | undefined }): void {
    const old = this.#read(name);
    const before = old?.gone ? old.shared && { shared: old.shared } : old;
    if (this.#write(name, { title: "", at: Date.now(), ...before, ...changes })) this.#tell(name);
  }

  remove(name: string): void {
    const old = this.#read(name);
    if (!this.shared) this.#drop(name);
    // What was removed is remembered, because the other devices must be told.
    else if (old) this.#write(name, { title: "", at: Date.now(), gone: true, shared: old.shared });
    this.#tell(name);
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Call a listener with the name of what this tab changes. */
  onWrite(listener: (name: string) => void): void {
    this.#written = listener;
  }

  // What several devices share

  /** Up to where the shared list was heard; what came later is still to be applied. */
  get heard(): Position | undefined {
    const position = this.store.get(HEARD);
    return typeof position === "string" ? position : undefined;
  }

  /** Apply changes of the shared list, in their order. */
  apply(changes: readonly ListChange[], heard: Position): void {
    for (const { stream, told } of changes) this.#write(stream, merged(this.#read(stream), told));
    this.store.set(HEARD, heard);
    this.#changed();
  }

  /** The shared list is another one, or a part of it was lost: it has to be heard from its start. */
  forget(): void {
    this.store.remove(HEARD);
    for (const { name, gone, shared, ...entry } of [...this.#stored.values()]) {
      if (gone) this.#drop(name);
      else if (shared) this.#write(name, entry);
    }
    this.#changed();
  }

  /** What has been changed here and is not in the shared list, by name. */
  get unsent(): readonly string[] {
    return [...this.#stored.keys()].filter((name) => this.unsentOf(name) !== undefined);
  }

  /** The event that tells the others of one entry; `undefined` if they know. */
  unsentOf(name: string): ListEvent | undefined {
    const entry = this.#stored.get(name);
    return entry && changesIn(entry, this.entries);
  }

  // The store

  #tell(name: string): void {
    this.#changed();
    this.#written(name);
  }

  #changed(): void {
    this.#entries = undefined;
    for (const listener of this.#listeners) listener();
  }

  /** Store an entry; false if that changes nothing. */
  #write(name: string, changed: Changes): boolean {
    const entry = checked({ ...changed, name });
    if (!entry || JSON.stringify(entry) === JSON.stringify(this.#read(name))) return false;
    this.store.set(PREFIX + name, entry);
    this.#stored.set(name, entry);
    if (this.#stored.size > MOST) for (const { name: quiet } of byTime([...this.#stored.values()]).slice(MOST)) this.#drop(quiet);
    return true;
  }

  #drop(name: string): void {
    this.store.remove(PREFIX + name);
    this.#stored.delete(name);
  }

  #read(name: string): StoredEntry | undefined {
    const entry = checked(this.store.get(PREFIX + name));
    return entry?.name === name ? entry : undefined;
  }

  #readAll(): void {
    const names = this.store.keys(PREFIX).map((key) => key.slice(PREFIX.length));
    const found = names.map((name) => this.#read(name)).filter((entry) => entry !== undefined);
    this.#stored = new Map(found.map((entry) => [entry.name, entry]));
    this.#entries = undefined;
  }

  /** Store each entry of an earlier version's list under its own key. */
  #divide(): void {
    const whole = this.store.get(WHOLE);
    if (whole === undefined) return;
    for (const entry of Array.isArray(whole) ? whole.map(checked) : []) {
      if (entry && !this.#read(entry.name)) this.store.set(PREFIX + entry.name, entry);
    }
    this.store.remove(WHOLE);
  }
}

/**
 * Entries with each fork below its source. Groups with a pinned entry come first, then the one with the
 * latest message.
 */
export function arranged(entries: readonly Entry[]): readonly Placed[] {
  const known = new Map(entries.map((entry) => [entry.name, entry]));
  const source = (entry: Entry): Entry | undefined => known.get(entry.from ?? "");
  const forks = new Map<Entry, Entry[]>();
  for (const entry of entries) {
    const from = source(entry);
    if (from) forks.set(from, [...(forks.get(from) ?? []), entry]);
  }
  // An entry is placed only once: in a damaged list sources may form a cycle.
  const placed = new Map<Entry, number>();
  const place = (entry: Entry, depth: number): void => {
    if (placed.has(entry)) return;
    placed.set(entry, depth);
    for (const fork of forks.get(entry) ?? []) place(fork, depth + 1);
  };
  // The first entry of a group determines the place of the group.
  for (const entry of [...entries.filter(({ pinned }) => pinned), ...entries]) place(rootOf(entry, source), 0);
  return Array.from(placed, ([entry, depth]) => ({ entry, depth }));
}

function rootOf(entry: Entry, source: (entry: Entry) => Entry | undefined): Entry {
  const seen = new Set([entry]);
  for (let above = source(entry); above && !seen.has(above); above = source(above)) seen.add(above);
  return [...seen].at(-1) ?? entry;
}

/** The entries whose title contains every word of the query, ignoring case and accents. */
export function found(entries: readonly Entry[], query: string): readonly Entry[] {
  const words = wordsOf(query);
  return entries.filter((entry) => words.every((word) => plain(entry.title).includes(word)));
}

const byTime = <T extends Entry>(entries: readonly T[]): readonly T[] => entries.toSorted((one, other) => other.at - one.at);

function checked(value: unknown): StoredEntry | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const held = value as Record<keyof StoredEntry, unknown>;
  if (typeof held.name !== "string" || !isName(held.name)) return undefined;
  return {
    name: held.name,
    title: typeof held.title === "string" ? held.title.slice(0, LONGEST_TITLE) : "",
    at: typeof held.at === "number" && Number.isFinite(held.at) ? held.at : 0,
    ...(held.named === true && { named: true }),
    ...(held.pinned === true && { pinned: true }),
    ...(typeof held.from === "string" && isName(held.from) && { from: held.from }),
    ...(typeof held.running === "string" && { running: held.running.slice(0, 200) }),
    ...(held.gone === true && { gone: true }),
    ...(isShared(held.shared) && { shared: held.shared }),
  };
}

/** Only this page writes them; another hub's, or a damaged one, has no position. */
function isShared(value: unknown): value is Shared {
  return typeof value === "object" && value !== null && "position" in value && typeof value.position === "string";
}
