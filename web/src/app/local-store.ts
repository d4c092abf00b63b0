/**
 * What this browser remembers for this hub: small JSON values in localStorage.
 *
 * Keys carry the path the page is served under, because two hubs may share an origin. Where
 * storage is refused (a private window, a full disk) a value lives as long as the page does.
 * Whatever was stored may be damaged or of another version: `get` gives `unknown`, and who
 * asks checks it.
 */

type Backing = Pick<Storage, "getItem" | "setItem">;

/** The path under which the page is served, which is where its hub is. */
export const scopeOf = (address: string): string => new URL(".", address).pathname;

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

  /** Be told when another tab changed it; gives what ends that. */
  watch(key: string, changed: () => void): () => void {
    const listener = (event: StorageEvent): void => {
      // No key: everything was cleared.
      if (event.key === null || event.key === this.#full(key)) changed();
    };
    addEventListener("storage", listener);
    return () => {
      removeEventListener("storage", listener);
    };
  }

  // public/theme.js knows this form too.
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
