/**
 * The conversations of this browser, a stored list that all its tabs share.
 *
 * Only the browser knows which conversations a user took part in here, for each user apart. Each
 * is stored under a key of its own: tabs run in several processes, which see each other's values a
 * little later, so of two tabs that store one list at once one would undo what the other did. The
 * list is bounded; the conversation that was inactive for longest leaves it (the conversation
 * itself stays on the hub).
 */

import type { LocalStore } from "./local-store.js";
import { isName } from "./names.js";

export interface Entry {
  readonly name: string;
  readonly title: string;
  /** The time of the last message, in milliseconds since 1970. */
  readonly at: number;
  /** The user chose the title. */
  readonly named?: boolean;
  /** The conversation it was forked from. */
  readonly from?: string;
  /** The generation that is running there, as far as known. */
  readonly running?: string;
}

export interface Placed {
  readonly entry: Entry;
  /** How many of its sources are in the list. */
  readonly depth: number;
}

export const MOST = 300;
const PREFIX = "conversation:";
/** Under this key earlier versions of the page stored the whole list. */
const WHOLE = "conversations";
const LONGEST_TITLE = 120;

export class ConversationList {
  readonly #listeners = new Set<() => void>();
  #entries: readonly Entry[];

  constructor(private readonly store: LocalStore) {
    this.#divide();
    this.#entries = latest(this.#stored());
    store.watch(PREFIX, this.#changed, { prefix: true });
  }

  /** The latest first. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  find(name: string): Entry | undefined {
    return this.#entries.find((entry) => entry.name === name);
  }

  /** Change or add an entry; `undefined` removes a field. */
  put(name: string, changes: { readonly [K in keyof Omit<Entry, "name">]?: Entry[K] | undefined }): void {
    const old = this.#read(PREFIX + name);
    const entry = checked({ title: "", at: Date.now(), ...old, ...changes, name });
    if (!entry || JSON.stringify(entry) === JSON.stringify(old)) return;
    this.store.set(PREFIX + name, entry);
    for (const { name: quiet } of byTime(this.#stored()).slice(MOST)) this.store.remove(PREFIX + quiet);
    this.#changed();
  }

  remove(name: string): void {
    this.store.remove(PREFIX + name);
    this.#changed();
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  readonly #changed = (): void => {
    this.#entries = latest(this.#stored());
    for (const listener of this.#listeners) listener();
  };

  #stored(): readonly Entry[] {
    return this.store.keys(PREFIX).map((key) => this.#read(key)).filter((entry) => entry !== undefined);
  }

  #read(key: string): Entry | undefined {
    const entry = checked(this.store.get(key));
    return entry && PREFIX + entry.name === key ? entry : undefined;
  }

  /** Store each entry of an earlier version's list under its own key. */
  #divide(): void {
    const whole = this.store.get(WHOLE);
    if (whole === undefined) return;
    for (const entry of Array.isArray(whole) ? whole.map(checked) : []) {
      if (entry && !this.#read(PREFIX + entry.name)) this.store.set(PREFIX + entry.name, entry);
    }
    this.store.remove(WHOLE);
  }
}

/** Entries with each fork below its source; the group with the latest message comes first. */
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
  // The latest entry of a group comes first and so determines the place of the group.
  for (const entry of entries) place(rootOf(entry, source), 0);
  return Array.from(placed, ([entry, depth]) => ({ entry, depth }));
}

function rootOf(entry: Entry, source: (entry: Entry) => Entry | undefined): Entry {
  const seen = new Set([entry]);
  for (let above = source(entry); above && !seen.has(above); above = source(above)) seen.add(above);
  return [...seen].at(-1) ?? entry;
}

/** The entries whose title contains every word of the query, ignoring case and accents. */
export function found(entries: readonly Entry[], query: string): readonly Entry[] {
  const words = plain(query).split(/\s+/).filter(Boolean);
  return entries.filter((entry) => words.every((word) => plain(entry.title).includes(word)));
}

const plain = (text: string): string =>
  text.normalize("NFKD").replace(/\p{M}/gu, "").toUpperCase();

const byTime = (entries: readonly Entry[]): readonly Entry[] => entries.toSorted((one, other) => other.at - one.at);
const latest = (entries: readonly Entry[]): readonly Entry[] => byTime(entries).slice(0, MOST);

function checked(value: unknown): Entry | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const held = value as Record<keyof Entry, unknown>;
  if (typeof held.name !== "string" || !isName(held.name)) return undefined;
  return {
    name: held.name,
    title: typeof held.title === "string" ? held.title.slice(0, LONGEST_TITLE) : "",
    at: typeof held.at === "number" && Number.isFinite(held.at) ? held.at : 0,
    ...(held.named === true && { named: true }),
    ...(typeof held.from === "string" && isName(held.from) && { from: held.from }),
    ...(typeof held.running === "string" && { running: held.running.slice(0, 200) }),
  };
}
