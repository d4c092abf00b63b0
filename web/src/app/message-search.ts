/**
 * Searches what was said in the conversations of the list.
 *
 * The hub has no index of messages, so the conversations are read, two at a time, the latest first, a
 * `PORTION` of them for each request of the user. What was read is kept while the page lives, within
 * a bound. Messages and answers of all versions are searched, thoughts and tool calls are not.
 */

import type { Hub } from "../client/hub.js";
import type { State } from "../model/conversation.js";
import { excerptOf, type Excerpt, wordsOf } from "../model/text-search.js";
import type { Entry } from "./conversation-list.js";

export const PORTION = 100;
const AT_ONCE = 2;
/** The most characters that are read of a conversation, and kept of all. */
const LONGEST = 1_000_000;
const KEPT = 8_000_000;

export interface Hit {
  readonly entry: Entry;
  readonly excerpt: Excerpt;
}

export interface Progress {
  readonly hits: readonly Hit[];
  /** How many conversations were searched, and how many there are. */
  readonly searched: number;
  readonly all: number;
  readonly running: boolean;
}

interface Texts {
  readonly at: number;
  readonly texts: readonly string[];
}

export class MessageSearch {
  /** `undefined` while nothing is searched. */
  progress: Progress | undefined;
  readonly #read = new Map<string, Texts>();
  #words: readonly string[] = [];
  #left: readonly Entry[] = [];
  #over = new AbortController();

  constructor(
    private readonly hub: Hub,
    private readonly changed: () => void,
  ) {}

  /** Search the latest conversations. */
  start(query: string, entries: readonly Entry[]): void {
    this.stop();
    this.#words = wordsOf(query);
    this.#left = entries;
    this.progress = { hits: [], searched: 0, all: entries.length, running: false };
    void this.more();
  }

  /** Search the next ones. */
  async more(): Promise<void> {
    if (!this.progress || this.progress.running) return;
    const { signal } = this.#over;
    const portion = [...this.#left.slice(0, PORTION)];
    this.#left = this.#left.slice(PORTION);
    this.#set({ running: true });
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let entry = portion.shift(); entry && !signal.aborted; entry = portion.shift()) await this.#search(entry, signal);
    }));
    if (!signal.aborted) this.#set({ running: false });
  }

  stop(): void {
    this.#over.abort();
    this.#over = new AbortController();
    this.progress = undefined;
  }

  async #search(entry: Entry, signal: AbortSignal): Promise<void> {
    const texts = await this.#textsOf(entry, signal);
    if (signal.aborted || !this.progress) return;
    const excerpt = texts.map((text) => excerptOf(text, this.#words)).find((found) => found !== undefined);
    const hits = excerpt ? [...this.progress.hits, { entry, excerpt }] : this.progress.hits;
    this.#set({ hits: hits.toSorted((one, other) => other.entry.at - one.entry.at), searched: this.progress.searched + 1 });
  }

  async #textsOf({ name, at }: Entry, signal: AbortSignal): Promise<readonly string[]> {
    const known = this.#read.get(name);
    if (known?.at === at) return known.texts;
    const texts = await textsIn(this.hub, name, signal);
    if (!signal.aborted) this.#keep(name, { at, texts });
    return texts;
  }

  #keep(name: string, read: Texts): void {
    this.#read.delete(name);
    this.#read.set(name, read);
    let size = 0;
    for (const [one, { texts }] of [...this.#read].toReversed()) {
      size += sizeOf(texts);
      if (size > KEPT) this.#read.delete(one);
    }
  }

  #set(changes: Partial<Progress>): void {
    if (this.progress) this.progress = { ...this.progress, ...changes };
    this.changed();
  }
}

/** What was said in a conversation by now; what cannot be read says nothing. */
function textsIn(hub: Hub, name: string, signal: AbortSignal): Promise<readonly string[]> {
  return new Promise((read) => {
    let texts: readonly string[] = [];
    const end = (): void => {
      signal.removeEventListener("abort", end);
      // Not at once: the function that stops it may not be there yet.
      queueMicrotask(() => { stop(); });
      read(texts);
    };
    const see = ({ all }: State): void => {
      texts = all.map(({ text }) => text);
      if (sizeOf(texts) > LONGEST) end();
    };
    signal.addEventListener("abort", end);
    const stop = hub.conversation(name, see, {
      lag: (records) => {
        if (records === 0) end();
      },
      waiting: end,
      failed: end,
    });
  });
}

const sizeOf = (texts: readonly string[]): number => texts.reduce((size, { length }) => size + length, 0);
