/**
 * What was typed and not yet sent, kept per conversation and shared by the tabs.
 *
 * The browser's local storage holds it and tells the other tabs of each change (the `storage`
 * event comes only there, never back). Storage may be missing, full or forbidden; then drafts
 * are simply not kept. At most `DRAFTS` of them, the oldest go first, none longer than `LONGEST`.
 */

const PREFIX = "hub-draft ";
const DRAFTS = 50;
const LONGEST = 50_000;

interface Kept {
  readonly text: string;
  readonly at: number;
}

/** The draft of one conversation. */
export class Draft {
  readonly #key: string;
  #known: string;

  /** `changed` gets what another tab made of it, and what it was before. */
  constructor(
    url: string,
    stream: string,
    private readonly changed: (text: string, before: string) => void,
  ) {
    this.#key = `${PREFIX}${url} ${stream}`;
    this.#known = parse(read(this.#key)).text;
    globalThis.addEventListener("storage", this.#told);
  }

  get text(): string {
    return this.#known;
  }

  keep(text: string): void {
    if (text === this.#known || text.length > LONGEST) return;
    this.#known = text;
    if (text === "") forget(this.#key);
    else write(this.#key, { text, at: Date.now() });
  }

  /** The text was sent, though nobody composes here any more. */
  sent(text: string): void {
    if (parse(read(this.#key)).text === text) forget(this.#key);
  }

  close(): void {
    globalThis.removeEventListener("storage", this.#told);
  }

  readonly #told = (event: StorageEvent): void => {
    // `clear()` is told without a key.
    if (event.key !== this.#key && event.key !== null) return;
    const before = this.#known;
    this.#known = parse(event.key === null ? null : event.newValue).text;
    if (this.#known !== before) this.changed(this.#known, before);
  };
}

function parse(held: string | null): Kept {
  try {
    const kept: unknown = JSON.parse(held ?? "null");
    if (typeof kept === "object" && kept !== null && "text" in kept && typeof kept.text === "string") {
      return { text: kept.text.slice(0, LONGEST), at: "at" in kept ? Number(kept.at) || 0 : 0 };
    }
  } catch {
    // Somebody else's text under our name is no draft.
  }
  return { text: "", at: 0 };
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function forget(key: string): void {
  try {
    localStorage.removeItem(key);
  } catch {
    // Then it was not kept either.
  }
}

function write(key: string, kept: Kept): void {
  try {
    const isNew = localStorage.getItem(key) === null;
    localStorage.setItem(key, JSON.stringify(kept));
    if (isNew) makeRoom();
  } catch {
    // Storage is full or forbidden: the text is still in the composer.
  }
}

function makeRoom(): void {
  const keys = Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i) ?? "");
  const drafts = keys.filter((key) => key.startsWith(PREFIX)).map((key) => ({ key, at: parse(read(key)).at }));
  drafts.sort((one, other) => one.at - other.at);
  for (const { key } of drafts.slice(0, -DRAFTS)) forget(key);
}
