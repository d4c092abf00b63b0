/** What waits below the composer: prompts in the conversation's queue, and those not sent yet. */

import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";

import { NO_QUEUE, type Queue } from "../model/queue.js";
import * as icons from "../ui/icons.js";
import { LightElement, register } from "../ui/light-element.js";
import { entered, grow } from "./composer.js";
import type { UnsentPrompt } from "./outbox.js";

/** What the user wants done with a prompt; `id` is its generation, or the key of an unsent one. */
export type QueueRequest =
  | { readonly id: string; readonly do: "drop" | "now" }
  | { readonly id: string; readonly do: "edit"; readonly text: string }
  | { readonly id: string; readonly do: "move"; readonly place: number };

interface Row {
  readonly id: string;
  readonly text: string;
  readonly author?: string;
  readonly unsent: boolean;
}

export class PromptQueue extends LightElement {
  static override properties = {
    queue: { attribute: false },
    unsent: { attribute: false },
    editing: { state: true },
  };

  declare queue: Queue;
  declare unsent: readonly UnsentPrompt[];
  /** The prompt that is being edited. */
  declare editing: string | undefined;

  constructor() {
    super();
    this.queue = NO_QUEUE;
    this.unsent = [];
    this.editing = undefined;
  }

  protected override render(): unknown {
    const sent = this.queue.prompts.map(({ generation, ...more }): Row => ({ id: generation, unsent: false, ...more }));
    const rows = [...sent, ...this.unsent.map(({ key, text }): Row => ({ id: key, text, unsent: true }))];
    if (rows.length === 0) return nothing;
    return html`<section class="queue" aria-label="Waiting">
      <p class="about" role="status">${this.#about(sent.length)}</p>
      <ol>${repeat(rows, ({ id }) => id, (row, at) => html`<li>${this.#row(row, at, sent.length)}</li>`)}</ol>
    </section>`;
  }

  #about(sent: number): string {
    if (sent === 0) return "Sent when the hub can be reached again";
    if (this.queue.held) return "Held back because the last answer did not finish";
    return "Next, when the answer is complete";
  }

  #row(row: Row, at: number, sent: number): unknown {
    if (this.editing === row.id) return this.#editor(row);
    const button = (label: string, icon: icons.Icon, what: QueueRequest, disabled = false): unknown => html`<button class="tiny" type="button"
      aria-label=${`${label}: ${short(row.text)}`} title=${label} ?disabled=${disabled} @click=${() => {
        this.#tell(what);
      }}>${icon()}</button>`;
    return html`<span class="what" dir="auto" title=${row.text}>${row.text}</span>
      ${row.unsent ? html`<span class="mark">Not sent yet</span>` : nothing}
      ${row.unsent || sent < 2 ? nothing : button("Move up", icons.above, { id: row.id, do: "move", place: at }, at === 0)}
      ${row.unsent || sent < 2 ? nothing : button("Move down", icons.below, { id: row.id, do: "move", place: at + 2 }, at + 1 === sent)}
      <button class="tiny" type="button" aria-label=${`Edit: ${short(row.text)}`} title="Edit" @click=${() => {
        this.#edit(row.id);
      }}>${icons.edit()}</button>
      ${row.unsent ? nothing : button(this.queue.held ? "Send now" : "Stop and send now", icons.send, { id: row.id, do: "now" })}
      ${button("Drop", icons.close, { id: row.id, do: "drop" })}`;
  }

  #editor(row: Row): unknown {
    return html`<form class="editor" @submit=${(event: Event) => {
      event.preventDefault();
      this.#save(row);
    }}>
      <textarea rows="1" dir="auto" aria-label="Edit the prompt" .defaultValue=${row.text} @input=${({ target }: Event) => {
        grow(target as HTMLTextAreaElement);
      }} @keydown=${(event: KeyboardEvent) => {
        this.#pressed(event, row);
      }}></textarea>
      <div class="row"><span class="hint"></span>
        <button class="plain" type="button" @click=${this.#close}>Cancel</button>
        <button class="strong" type="submit">Save</button>
      </div>
    </form>`;
  }

  #pressed(event: KeyboardEvent, row: Row): void {
    if (event.key === "Escape" && !event.isComposing) {
      // Not Stop.
      event.preventDefault();
      this.#close();
    } else if (entered(event)) {
      event.preventDefault();
      this.#save(row);
    }
  }

  #edit(id: string): void {
    this.editing = id;
    void this.updateComplete.then(() => {
      const area = this.querySelector("textarea");
      area?.focus();
      if (area) grow(area);
    });
  }

  #save(row: Row): void {
    const text = this.querySelector("textarea")?.value.trim() ?? "";
    if (text === "") return;
    if (text !== row.text) this.#tell({ id: row.id, do: "edit", text });
    this.#close();
  }

  readonly #close = (): void => {
    this.editing = undefined;
  };

  #tell(what: QueueRequest): void {
    this.tell("requeue", what);
  }
}

function short(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

register("hub-queue", PromptQueue);
