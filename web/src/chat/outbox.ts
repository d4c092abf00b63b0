/**
 * Prompts that were written while the hub could not be reached, for one conversation.
 *
 * Local storage keeps them, each under a key of its own (tabs that stored one list at once would
 * undo each other's changes), and tells the other tabs. Each has an idempotency key, so it does not
 * matter how many tabs send it once the hub is back. At most `WAITING` wait in a conversation.
 */

import { unique } from "../client/unique.js";

const PREFIX = "hub-outbox ";
export const WAITING = 20;

export interface UnsentPrompt {
  readonly key: string;
  readonly text: string;
  /** What was said last on the branch that it continues. */
  readonly branch?: string | undefined;
}

interface Kept extends UnsentPrompt {
  /** Its place: the time in milliseconds since 1970, or the next number. */
  readonly at: number;
}

export class Outbox {
  /** What the keys in local storage begin with; no name of a stream contains a space. */
  readonly #prefix: string;

  constructor(
    url: string,
    stream: string,
    private readonly changed: () => void,
  ) {
    this.#prefix = `${PREFIX}${url} ${stream} `;
    globalThis.addEventListener("storage", this.#changedElsewhere);
  }

  get prompts(): readonly UnsentPrompt[] {
    return this.#kept().slice(0, WAITING).map(({ key, text, branch }) => ({ key, text, branch }));
  }

  /** Keep a prompt; false if it cannot be kept. */
  add(text: string, branch?: string, key = unique()): boolean {
    const kept = this.#kept();
    const at = Math.max(Date.now(), 1 + (kept.at(-1)?.at ?? 0));
    if (kept.length >= WAITING || !this.#keep({ key, text, branch, at })) return false;
    this.changed();
    return true;
  }

  /** Change the text of a prompt. It gets another key: the old one may have been sent. */
  edit(key: string, text: string): void {
    const old = this.#kept().find((one) => one.key === key);
    if (old && this.#keep({ ...old, key: unique(), text })) this.remove(key);
  }

  remove(key: string): void {
    try {
      localStorage.removeItem(this.#prefix + key);
    } catch {
      return; // Then it was not stored, either.
    }
    this.changed();
  }

  close(): void {
    globalThis.removeEventListener("storage", this.#changedElsewhere);
  }

  #kept(): readonly Kept[] {
    try {
      return Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i) ?? "")
        .filter((key) => key.startsWith(this.#prefix))
        .map((key) => parse(localStorage.getItem(key)))
        .filter((kept) => kept !== undefined)
        .toSorted((one, other) => one.at - other.at || (one.key < other.key ? -1 : 1));
    } catch {
      return [];
    }
  }

  #keep(prompt: Kept): boolean {
    try {
      localStorage.setItem(this.#prefix + prompt.key, JSON.stringify(prompt));
      return true;
    } catch {
      return false;
    }
  }

  readonly #changedElsewhere = (event: StorageEvent): void => {
    if (event.key === null || event.key.startsWith(this.#prefix)) this.changed();
  };
}

function parse(stored: string | null): Kept | undefined {
  try {
    const { key, text, branch, at } = (JSON.parse(stored ?? "null") ?? {}) as Partial<Kept>;
    const valid = typeof key === "string" && typeof text === "string" && ["undefined", "string"].includes(typeof branch);
    if (valid) return { key, text, branch, at: Number(at) || 0 };
  } catch {
    // A damaged value is no prompt.
  }
  return undefined;
}
