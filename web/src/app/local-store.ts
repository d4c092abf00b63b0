/**
 * Small JSON values that this browser stores for this hub in localStorage.
 *
 * Keys contain the path under which the page is served, because two hubs may share an origin.
 * Where storage is not available (a private window, a full disk) a value lasts as long as the
 * page. A stored value may be damaged or from another version, so `get` returns `unknown` and the
 * caller validates it.
 */

type Backing = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

/** The path under which the page, and so its hub, is served; and the user, if it is theirs alone. */
export function scopeOf(address: string, subject = ""): string {
  return new URL(".", address).pathname + (subject && `@${subject}`);
}

export class LocalStore {
  readonly #unstored = new Map<string, string>();

  constructor(
    private readonly scope: string,
    private readonly storage: Backing | undefined = localStorageIfAny(),
  ) {}

  get(key: string): unknown {
    try {
      const text = this.#unstored.get(key) ?? this.storage?.getItem(this.#full(key));
      return text == null ? undefined : (JSON.parse(text) as unknown);
    } catch {
      return undefined;
    }
  }

  set(key: string, value: unknown): void {
    const text = JSON.stringify(value);
    try {
      if (!this.storage) throw new Error("no storage");
      this.storage.setItem(this.#full(key), text);
      this.#unstored.delete(key);
    } catch {
      this.#unstored.set(key, text);
    }
  }

  remove(key: string): void {
    this.#unstored.delete(key);
    try {
      this.storage?.removeItem(this.#full(key));
    } catch {
      // No storage, so it was not stored.
    }
  }

  /** The keys that begin with a prefix, in no order. */
  keys(prefix: string): readonly string[] {
    const full = this.#full(prefix);
    const stored = Array.from({ length: this.storage?.length ?? 0 }, (_, i) => this.storage?.key(i) ?? "")
      .filter((key) => key.startsWith(full))
      .map((key) => key.slice(full.length - prefix.length));
    const unstored = [...this.#unstored.keys()].filter((key) => key.startsWith(prefix));
    return [...new Set([...stored, ...unstored])];
  }

  /**
   * Call `changed` when another tab changes the value; returns a function that stops it. With
   * `prefix`, of any value whose key begins with `key`.
   */
  watch(key: string, changed: () => void, { prefix = false } = {}): () => void {
    const full = this.#full(key);
    const listener = (event: StorageEvent): void => {
      // Without a key, everything was cleared.
      if (event.key === null || event.key === full || (prefix && event.key.startsWith(full))) changed();
    };
    addEventListener("storage", listener);
    return () => {
      removeEventListener("storage", listener);
    };
  }

  // public/theme.js uses this format, too.
  #full(key: string): string {
    return `streamhub:${this.scope}:${key}`;
  }
}

function localStorageIfAny(): Backing | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
