/**
 * Where one types: a field that grows, Send or Stop, and a place for the page's own tools.
 *
 * The text stays until the hub has accepted it, and is kept as a draft that the other tabs see.
 * What another tab typed is taken over unless the reader has typed something else here.
 */

import { html, nothing } from "lit";

import { Draft } from "./drafts.js";
import { icon } from "./icons.js";
import { entered, grow } from "./keyboard.js";
import { Light, register } from "./light.js";

/** Typing is not written down at each key. */
const PAUSE = 150;

/** What the conversation is doing. */
export type Doing = "nothing" | "sending" | "answering" | "stopping";

export class Composer extends Light {
  static override properties = {
    doing: {},
    closed: { type: Boolean },
    text: { state: true },
    hint: { state: true },
    tools: { state: true },
  };

  declare doing: Doing;
  /** The conversation is over. */
  declare closed: boolean;
  declare text: string;
  declare hint: string;
  /** The page has put something into the bar. */
  declare tools: boolean;
  #draft: Draft | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.doing = "nothing";
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

  /** Compose for a conversation: its draft comes back. */
  open(url: string, stream: string): void {
    this.leave();
    this.#draft = new Draft(url, stream, this.#elsewhere);
    this.#put(this.#draft.text);
  }

  /** Keep the draft and know of no conversation any more. */
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
          this.doing === "sending" ? html`<span class="loading">Sending…</span>` : this.hint
        }</span>
        ${this.#stop()}${this.#send()}
      </div>
    </form>`;
  }

  get #placeholder(): string {
    return this.closed ? "This conversation is closed." : "Write a message";
  }

  #stop(): unknown {
    if (this.doing === "nothing") return nothing;
    const label = this.doing === "stopping" ? "Stopping" : "Stop (Esc)";
    return html`<button class="round stop" type="button" aria-label=${label} title=${label}
      ?disabled=${this.doing === "stopping"} @click=${() => {
        this.tell("halt");
      }}>${icon("stop")}</button>`;
  }

  /** While an answer comes, Stop stands where Send does. */
  #send(): unknown {
    if (this.doing !== "nothing") return nothing;
    const why = this.#refusal();
    return html`<button class="round send" type="submit" aria-label="Send" title=${why || "Send (Enter)"}
      ?disabled=${why !== ""}>${icon("send")}</button>`;
  }

  /** Why nothing can be sent now. */
  #refusal(): string {
    if (this.closed) return "This conversation is closed.";
    if (this.doing === "sending") return "Your message is being sent.";
    if (this.doing !== "nothing") return "An answer is coming: wait for its end, or stop it (Esc).";
    return this.text.trim() === "" ? "Write something first." : "";
  }

  get #area(): HTMLTextAreaElement | null {
    return this.querySelector("textarea");
  }

  protected override updated(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("doing") && this.doing === "nothing") this.hint = "";
    const area = this.#area;
    if (area && area.value !== this.text) {
      const { selectionStart, selectionEnd } = area;
      area.value = this.text;
      area.setSelectionRange(selectionStart, selectionEnd);
    }
    if (area && changed.has("text")) grow(area);
  }

  readonly #slotted = (event: Event): void => {
    this.tools = (event.target as HTMLSlotElement).assignedElements().length > 0;
  };

  readonly #submit = (event: Event): void => {
    event.preventDefault();
    if (this.#refusal() === "") this.tell("ask", { text: this.text.trim(), accepted: this.#accepting() });
    else if (this.text.trim() !== "") this.hint = this.#refusal();
  };

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
   * What is to be called when the hub has the text that stands here now: it goes, and what was
   * typed since stays. By then the composer may serve another conversation.
   */
  #accepting(): () => void {
    const { text } = this;
    const draft = this.#draft;
    return () => {
      if (this.#draft !== draft) draft?.sent(text);
      else {
        this.#put(this.text.startsWith(text) ? this.text.slice(text.length).trimStart() : this.text);
        this.#keep();
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

  /** Another tab typed: taken over, but not over what was typed here meanwhile. */
  readonly #elsewhere = (text: string, before: string): void => {
    const typingHere = document.hasFocus() && this.#area?.matches(":focus") === true;
    if (this.text === before || !typingHere) this.#put(text);
  };
}

register("hub-composer", Composer);
