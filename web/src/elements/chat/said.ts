/** What somebody said: one message, with its versions, and the editor for another one. */

import { html, nothing } from "lit";

import type { Said } from "../../client/state.js";
import { cutBefore } from "../blocks.js";
import { StreamingMarkdown } from "../markdown.js";
import type { Versions } from "./branches.js";
import { icon } from "./icons.js";
import { entered, grow } from "./keyboard.js";
import { Light, register } from "./light.js";
import "./copier.js";

/** A message of more letters is folded: to lay out a pasted book would stop the page for seconds. */
const LONG = 10_000;
const SHOWN = 2_000;

/** To the version before, or the next. */
export type Step = "back" | "on";

export class SaidView extends Light {
  static override properties = {
    said: { attribute: false },
    versions: { attribute: false },
    editable: { type: Boolean },
    busy: { type: Boolean },
    editing: { state: true },
    whole: { state: true },
  };

  declare said: Said | undefined;
  declare versions: Versions | undefined;
  /** It may be edited now. */
  declare editable: boolean;
  /** The hub is being asked. */
  declare busy: boolean;
  declare editing: boolean;
  /** The reader wants to see all of a long one. */
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
    const { said } = this;
    if (!said) return nothing;
    const who = WHO[said.role];
    return html`<article class=${`said ${said.role}`} aria-label=${said.author ?? who}>
      ${said.author ? html`<p class="author" dir="auto">${said.author}</p>` : nothing}
      ${this.editing ? this.#editor(said) : this.#text(said)}
      ${this.editing ? nothing : this.#actions(said)}
    </article>`;
  }

  #text(said: Said): unknown {
    if (said.role === "assistant") return html`<div class="text"></div>`;
    const { text } = said;
    if (text.length <= LONG) return html`<div class="words" dir="auto">${text}</div>`;
    const shown = this.whole ? text : `${text.slice(0, cutBefore(text.slice(0, SHOWN), SHOWN)).trimEnd()} …`;
    return html`<div class="words" dir="auto">${shown}</div>
      <button class="plain" type="button" aria-expanded=${this.whole} @click=${this.#turn}>${
        this.whole ? "Show less" : `Show all ${text.length.toLocaleString("en")} letters`
      }</button>`;
  }

  #actions(said: Said): unknown {
    return html`<div class="actions">
      <span class="hover">
        ${this.editable
          ? html`<button class="tiny" type="button" aria-label="Edit this message" title="Edit" @click=${this.edit}>
              ${icon("edit")}
            </button>`
          : nothing}
        <hub-copy what="this message" .text=${said.text}></hub-copy>
      </span>
      ${this.#switcher()}
    </div>`;
  }

  #switcher(): unknown {
    const held = this.versions;
    if (!held) return nothing;
    const { streams, shown } = held;
    const turn = (by: number, name: Step, label: string): unknown =>
      html`<button class=${`tiny ${name}`} type="button" aria-label=${label} title=${label} ?disabled=${!streams[shown + by]}
        @click=${() => {
          this.tell("version", { stream: streams[shown + by], position: held.position, step: name });
        }}>${icon(name)}</button>`;
    return html`<span class="versions" role="group" aria-label="Versions of this message">
      ${turn(-1, "back", "Previous version")}
      <span class="count">${shown + 1}/${streams.length}</span>
      ${turn(1, "on", "Next version")}
    </span>`;
  }

  #editor(said: Said): unknown {
    return html`<form class="editor" @submit=${this.#save}>
      <textarea aria-label="Edit the message" dir="auto" .defaultValue=${said.text} ?readonly=${this.busy}
        @input=${this.#input} @keydown=${this.#pressed}></textarea>
      <div class="row">
        <span class="hint">The conversation goes on from here; the old one stays.</span>
        <button class="plain" type="button" @click=${this.#cancel}>Cancel</button>
        <button class="strong" type="submit" ?disabled=${this.busy}>${this.busy ? "Saving…" : "Save"}</button>
      </div>
    </form>`;
  }

  protected override updated(): void {
    if (this.said?.role !== "assistant") return;
    const host = this.querySelector<HTMLElement>(".text");
    if (!host) return;
    this.#markdown ??= new StreamingMarkdown(host);
    this.#markdown.set(this.said.text, true);
  }

  /** Focus the button that leads on in this direction, or the other where there is no further. */
  focusVersions(step: Step): void {
    const buttons = this.querySelectorAll<HTMLElement>(".versions button:enabled");
    const wanted = [...buttons].find((button) => button.classList.contains(step)) ?? buttons[0];
    wanted?.focus({ preventScroll: true });
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
    this.tell("edit", { said: this.said, text });
  };

  readonly #cancel = (): void => {
    this.editing = false;
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(".hover button")?.focus());
  };
}

const WHO = { user: "You", assistant: "Assistant", system: "Instructions", tool: "What a tool said" } as const;

register("hub-said", SaidView);

declare global {
  interface HTMLElementTagNameMap {
    "hub-said": SaidView;
  }
}
