/**
 * The branch that this browser shows of each conversation, where that is not the one it is on.
 *
 * Local storage keeps the name of a turn of the branch, for as many conversations as `MOST`.
 */

const KEY = "hub-branches";
export const MOST = 300;

export class ChosenBranch {
  readonly #key: string;
  /** Where nothing can be stored, it lasts as long as the conversation is shown. */
  #name: string | undefined;

  /** It begins with `name` if there is one, which is not kept. */
  constructor(url: string, stream: string, name?: string) {
    this.#key = `${url} ${stream}`;
    this.#name = name ?? new Map(stored()).get(this.#key);
  }

  get name(): string | undefined {
    return this.#name;
  }

  choose(name: string): void {
    this.#name = name;
    const others = stored().filter(([key]) => key !== this.#key);
    try {
      localStorage.setItem(KEY, JSON.stringify([...others, [this.#key, name]].slice(-MOST)));
    } catch {
      // A private window, or a full disk.
    }
  }
}

type Entry = readonly [key: string, name: string];

function stored(): readonly Entry[] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(value) ? value.filter(isEntry) : [];
  } catch {
    return [];
  }
}

function isEntry(value: unknown): value is Entry {
  return Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "string";
}
