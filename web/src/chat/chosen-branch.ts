/**
 * The branch that this browser shows of each conversation, where that is not the one it is on.
 *
 * Local storage keeps the name of a turn of the branch, for as many conversations as `MOST`. Each is
 * stored under a key of its own: tabs that stored one list at once would undo each other's changes.
 */

const PREFIX = "hub-branch ";
export const MOST = 300;

interface Chosen {
  readonly name: string;
  /** When it was chosen, in milliseconds since 1970, or the next number. */
  readonly at: number;
}

export class ChosenBranch {
  readonly #key: string;
  /** Where nothing can be stored, it lasts as long as the conversation is shown. */
  #name: string | undefined;

  /** It begins with `name` if there is one, which is not kept. */
  constructor(url: string, stream: string, name?: string) {
    this.#key = `${PREFIX}${url} ${stream}`;
    this.#name = name ?? stored(this.#key)?.name;
  }

  get name(): string | undefined {
    return this.#name;
  }

  choose(name: string): void {
    this.#name = name;
    try {
      const others = byAge(this.#key);
      for (const key of others.slice(0, Math.max(0, others.length + 1 - MOST))) localStorage.removeItem(key);
      const at = Math.max(Date.now(), 1 + (stored(others.at(-1) ?? "")?.at ?? 0));
      localStorage.setItem(this.#key, JSON.stringify({ name, at } satisfies Chosen));
    } catch {
      // A private window, or a full disk.
    }
  }
}

/** The keys of all other conversations, the one that was chosen first at the front. */
function byAge(own: string): readonly string[] {
  return Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i) ?? "")
    .filter((key) => key.startsWith(PREFIX) && key !== own)
    .map((key) => [key, stored(key)?.at ?? 0] as const)
    .toSorted(([, one], [, other]) => one - other)
    .map(([key]) => key);
}

function stored(key: string): Chosen | undefined {
  try {
    const { name, at } = (JSON.parse(localStorage.getItem(key) ?? "null") ?? {}) as Partial<Chosen>;
    return typeof name === "string" ? { name, at: Number(at) || 0 } : undefined;
  } catch {
    return undefined; // A damaged value names no branch.
  }
}
