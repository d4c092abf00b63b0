/** A message of a person, with its versions and an editor. */

import { html, nothing } from "lit";

import { cutBefore } from "../markdown/lex.js";
import { StreamingMarkdown } from "../markdown/stream.js";
import type { Versions } from "../model/branches.js";
import type { ChatMessage } from "../model/conversation.js";
import * as icons from "../ui/icons.js";
import { LightElement, register } from "../ui/light-element.js";
import { entered, grow } from "./composer.js";
import { switcher } from "./version-switcher.js";
import "../ui/buttons.js";

/** Longer messages are folded, because laying out a pasted book would block the page for seconds. */
const LONG = 10_000;
const SHOWN = 2_000;

export class MessageView extends LightElement {
  static override properties = {
    message: { attribute: false },
    versions: { attribute: false },
    editable: { type: Boolean },
    busy: { type: Boolean },
    editing: { state: true },
    whole: { state: true },
  };

  declare message: ChatMessage | undefined;
  declare versions: Versions | undefined;
  /** The message can be edited now. */
  declare editable: boolean;
  /** A request to the hub is pending. */
  declare busy: boolean;
  declare editing: boolean;
  /** The user unfolded a long message. */
  declare whole: boolean;
  #markdown: StreamingMarkdown | undefined;

  constructor() {
    super();
    this.editable = false;
    this.busy = false;
    this.editing = false;
    this.whole = false;
  }

  protected override render(): unknown {
    const { message } = this;
    if (!message) return nothing;
    const who = WHO[message.role];
    return html`<article class=${`said ${message.role}`} aria-label=${message.author ?? who}>
      ${message.author ? html`<p class="author" dir="auto">${message.author}</p>` : nothing}
      ${this.editing ? this.#editor(message) : this.#text(message)}
      ${this.editing ? nothing : this.#actions(message)}
    </article>`;
  }

  #text(message: ChatMessage): unknown {
    if (message.role === "assistant") return html`<div class="text"></div>`;
    const { text } = message;
    if (text.length <= LONG) return html`<div class="words" dir="auto">${text}</div>`;
    const shown = this.whole ? text : `${text.slice(0, cutBefore(text.slice(0, SHOWN), SHOWN)).trimEnd()} …`;
    return html`<div class="words" dir="auto">${shown}</div>
      <button class="plain" type="button" aria-expanded=${this.whole} @click=${this.#turn}>${
        this.whole ? "Show less" : `Show all ${text.length.toLocaleString("en")} characters`
      }</button>`;
  }

  #actions(message: ChatMessage): unknown {
    return html`<div class="actions">
      <span class="hover">
        ${this.editable
          ? html`<button class="tiny" type="button" aria-label="Edit this message" title="Edit" @click=${this.edit}>
              ${icons.edit()}
            </button>`
          : nothing}
        <hub-copy what="this message" .text=${message.text}></hub-copy>
      </span>
      ${switcher(this.versions, "this message", (choice) => { this.tell("version", choice); })}
    </div>`;
  }

  #editor(message: ChatMessage): unknown {
    return html`<form class="editor" @submit=${this.#save}>
      <textarea aria-label="Edit the message" dir="auto" .defaultValue=${message.text} ?readonly=${this.busy}
        @input=${this.#input} @keydown=${this.#pressed}></textarea>
      <div class="row">
        <span class="hint">The conversation continues from here; the old version stays.</span>
        <button class="plain" type="button" @click=${this.#cancel}>Cancel</button>
        <button class="strong" type="submit" ?disabled=${this.busy}>${this.busy ? "Saving…" : "Save"}</button>
      </div>
    </form>`;
  }

  protected override updated(): void {
    if (this.message?.role !== "assistant") return;
    const host = this.querySelector<HTMLElement>(".text");
    if (!host) return;
    this.#markdown ??= new StreamingMarkdown(host);
    this.#markdown.set(this.message.text, true);
  }

  readonly edit = async (): Promise<void> => {
    this.editing = true;
    await this.updateComplete;
    const area = this.querySelector("textarea");
    if (!area) return;
    grow(area);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  };

  readonly #turn = (): void => {
    this.whole = !this.whole;
  };

  readonly #input = (event: Event): void => {
    grow(event.target as HTMLTextAreaElement);
  };

  readonly #pressed = (event: KeyboardEvent): void => {
    if (entered(event)) this.#save(event);
    else if (event.key === "Escape" && !event.isComposing) {
      event.preventDefault();
      event.stopPropagation();
      this.#cancel();
    }
  };

  readonly #save = (event: Event): void => {
    event.preventDefault();
    const text = this.querySelector("textarea")?.value ?? "";
    if (text.trim() === "" || this.busy) return;
    this.tell("edit", { message: this.message, text });
  };

  readonly #cancel = (): void => {
    this.editing = false;
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(".hover button")?.focus());
  };
}

const WHO = { user: "You", assistant: "Assistant", system: "Instructions", tool: "Tool result" } as const;

register("hub-said", MessageView);

declare global {
  interface HTMLElementTagNameMap {
    "hub-said": MessageView;
  }
}
