/**
 * The composer: a field that grows, Send or Stop, and a slot for the page's own tools.
 *
 * The text stays until the hub has accepted it. It is stored as a draft that other tabs share:
 * text typed in another tab appears here, unless something else was typed here.
 */

import { html, nothing } from "lit";

import * as icons from "../ui/icons.js";
import { LightElement, register } from "../ui/light-element.js";

/** The draft is stored after this many milliseconds without typing. */
const PAUSE = 150;

const PREFIX = "hub-draft ";
const DRAFTS = 50;
const LONGEST = 50_000;

/** The key code of a key that an input method handles. */
const COMPOSING = 229;

/** What the conversation is doing. */
export type Activity = "nothing" | "sending" | "answering" | "stopping";

export class Composer extends LightElement {
  static override properties = {
    activity: {},
    closed: { type: Boolean },
    text: { state: true },
    hint: { state: true },
    tools: { state: true },
  };

  declare activity: Activity;
  /** The conversation is closed. */
  declare closed: boolean;
  declare text: string;
  declare hint: string;
  /** The page has put something into the tools slot. */
  declare tools: boolean;
  #draft: Draft | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What was written when Send was pressed although the message before was still being sent. */
  #early: string | undefined;
  /** That message was accepted, and nothing was typed since: what is written goes next. */
  #goesNext = false;

  constructor() {
    super();
    this.activity = "nothing";
    this.closed = false;
    this.text = "";
    this.hint = "";
    this.tools = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    globalThis.addEventListener("pagehide", this.#keep);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    globalThis.removeEventListener("pagehide", this.#keep);
    this.leave();
  }

  /**
   * Switch to a conversation and restore the draft of it, which is `account`'s alone. Without one,
   * `typed` stays: what was typed while it was not known yet whose draft it is.
   */
  open(url: string, stream: string, account: string, typed = ""): void {
    this.leave();
    this.#early = undefined;
    this.#goesNext = false;
    this.#draft = new Draft(account ? `${url}@${account}` : url, stream, this.#typedElsewhere);
    this.#put(this.#draft.text || typed);
  }

  /** Show nothing of a conversation. */
  clear(): void {
    this.leave();
    this.#put("");
  }

  /** Store the draft and leave the conversation. */
  leave(): void {
    this.#keep();
    this.#draft?.close();
    this.#draft = undefined;
  }

  override focus(options?: FocusOptions): void {
    this.#area?.focus(options);
  }

  protected override render(): unknown {
    return html`<form class=${this.tools ? "composer" : "composer bare"} @submit=${this.#submit}>
      <textarea rows="1" dir="auto" enterkeyhint="send" aria-label="Message" placeholder=${this.#placeholder}
        ?disabled=${this.closed} aria-describedby="composer-hint"
        @input=${this.#input} @keydown=${this.#pressed} @blur=${this.#blur}></textarea>
      <div class="row">
        <slot name="tools" @slotchange=${this.#slotted}></slot>
        <span class="hint" id="composer-hint" role="status">${
          this.activity === "sending" ? html`<span class="loading">Sending…</span>` : this.hint
        }</span>
        ${this.#stop()}${this.#send()}
      </div>
    </form>`;
  }

  get #placeholder(): string {
    return this.closed ? "This conversation is closed." : "Write a message";
  }

  #stop(): unknown {
    if (this.activity === "nothing") return nothing;
    const label = this.activity === "stopping" ? "Stopping" : "Stop (Esc)";
    return html`<button class="round stop" type="button" aria-label=${label} title=${label}
      ?disabled=${this.activity === "stopping"} @click=${() => {
        this.tell("halt");
      }}>${icons.stop()}</button>`;
  }

  /** While a reply is running, Stop replaces Send until something is written that can wait for its end. */
  #send(): unknown {
    const why = this.#refusal();
    if (this.activity !== "nothing" && why !== "") return nothing;
    const label = this.activity === "nothing" ? "Send" : "Send next";
    return html`<button class="round send" type="submit" aria-label=${label} title=${why || `${label} (Enter)`}
      ?disabled=${why !== ""}>${icons.send()}</button>`;
  }

  /** Why nothing can be sent now. */
  #refusal(): string {
    if (this.closed) return "This conversation is closed.";
    if (this.activity === "sending") return "Your message is being sent.";
    return this.text.trim() === "" ? "Write something first." : "";
  }

  get #area(): HTMLTextAreaElement | null {
    return this.querySelector("textarea");
  }

  protected override updated(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("activity") && this.activity === "nothing") this.hint = "";
    const area = this.#area;
    if (area && area.value !== this.text) {
      const { selectionStart, selectionEnd } = area;
      area.value = this.text;
      area.setSelectionRange(selectionStart, selectionEnd);
    }
    if (area && changed.has("text")) grow(area);
    if (this.#goesNext && this.activity !== "sending") {
      this.#goesNext = false;
      this.#ask();
    }
  }

  readonly #slotted = (event: Event): void => {
    this.tools = (event.target as HTMLSlotElement).assignedElements().length > 0;
  };

  readonly #submit = (event: Event): void => {
    event.preventDefault();
    this.#ask();
  };

  #ask(): void {
    if (this.#refusal() === "") {
      this.#early = undefined;
      this.tell("ask", { text: this.text.trim(), accepted: this.#accepting() });
    } else if (this.text.trim() !== "") {
      this.hint = this.#refusal();
      if (this.activity === "sending") this.#early = this.text;
    }
  }

  readonly #pressed = (event: KeyboardEvent): void => {
    if (entered(event)) this.#submit(event);
  };

  readonly #input = (event: Event): void => {
    this.#put((event.target as HTMLTextAreaElement).value);
    this.hint = "";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#keep, PAUSE);
    this.tell("typing", { typing: this.text !== "" });
  };

  readonly #blur = (): void => {
    this.#keep();
    this.tell("typing", { typing: false });
  };

  /**
   * Returns a function to call when the hub has accepted the current text. It removes that text and
   * keeps what was typed since. By then the composer may serve another conversation.
   */
  #accepting(): () => void {
    const { text } = this;
    const draft = this.#draft;
    return () => {
      if (draft && this.#draft !== draft) draft.sent(text);
      else {
        this.#goesNext = this.#early === this.text;
        this.#put(this.text.startsWith(text) ? this.text.slice(text.length).trimStart() : this.text);
        this.#keep();
        this.requestUpdate();
      }
    };
  }

  #put(text: string): void {
    this.text = text;
  }

  readonly #keep = (): void => {
    clearTimeout(this.#timer);
    this.#draft?.keep(this.text);
  };

  /** Take over text that was typed in another tab, unless something was typed here. */
  readonly #typedElsewhere = (text: string, before: string): void => {
    const typingHere = document.hasFocus() && this.#area?.matches(":focus") === true;
    if (this.text === before || !typingHere) this.#put(text);
  };
}

register("hub-composer", Composer);

// Drafts

interface StoredDraft {
  readonly text: string;
  readonly at: number;
}

/**
 * The draft of one conversation.
 *
 * Local storage keeps it and notifies the other tabs of each change (the `storage` event is only
 * sent to other tabs). If storage is missing, full or forbidden, drafts are not kept. There are at
 * most `DRAFTS`, the oldest of which are dropped first, of at most `LONGEST` characters.
 */
export class Draft {
  readonly #key: string;
  #known: string;

  /** `changed` gets the text from another tab, and the text before. */
  constructor(
    url: string,
    stream: string,
    private readonly changed: (text: string, before: string) => void,
  ) {
    this.#key = `${PREFIX}${url} ${stream}`;
    this.#known = parse(read(this.#key)).text;
    globalThis.addEventListener("storage", this.#changedElsewhere);
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

  /** The text was sent, although the composer has moved on. */
  sent(text: string): void {
    if (parse(read(this.#key)).text === text) forget(this.#key);
  }

  close(): void {
    globalThis.removeEventListener("storage", this.#changedElsewhere);
  }

  readonly #changedElsewhere = (event: StorageEvent): void => {
    // After `clear()` the event has no key.
    if (event.key !== this.#key && event.key !== null) return;
    const before = this.#known;
    this.#known = parse(event.key === null ? null : event.newValue).text;
    if (this.#known !== before) this.changed(this.#known, before);
  };
}

function parse(held: string | null): StoredDraft {
  try {
    const kept: unknown = JSON.parse(held ?? "null");
    if (typeof kept === "object" && kept !== null && "text" in kept && typeof kept.text === "string") {
      return { text: kept.text.slice(0, LONGEST), at: "at" in kept ? Number(kept.at) || 0 : 0 };
    }
  } catch {
    // Not a draft, but a value of another program under the same key.
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
    // Then it was not stored, either.
  }
}

function write(key: string, draft: StoredDraft): void {
  try {
    const isNew = localStorage.getItem(key) === null;
    localStorage.setItem(key, JSON.stringify(draft));
    if (isNew) makeRoom();
  } catch {
    // Storage is full or forbidden, but the text is still in the composer.
  }
}

function makeRoom(): void {
  const keys = Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i) ?? "");
  const drafts = keys.filter((key) => key.startsWith(PREFIX)).map((key) => ({ key, at: parse(read(key)).at }));
  drafts.sort((one, other) => one.at - other.at);
  for (const { key } of drafts.slice(0, -DRAFTS)) forget(key);
}

// Typing in a multi-line field

/**
 * Whether a key press means "send": Enter alone.
 *
 * The Enter that ends an input method's composition does not. Safari sends it after
 * `compositionend`, without `isComposing` but still with the old key code 229.
 */
export function entered(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" || event.shiftKey || event.altKey) return false;
  return !event.isComposing && codeOf(event) !== COMPOSING;
}

/** `keyCode` is deprecated, but nothing else detects the case of Safari. */
function codeOf(event: { readonly keyCode?: number }): number | undefined {
  return event.keyCode;
}

/** Make a field as high as its text if the browser does not; the style sheet sets the limit. */
export function grow(area: HTMLTextAreaElement): void {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.blockSize = "auto";
  area.style.blockSize = `${area.scrollHeight}px`;
}
