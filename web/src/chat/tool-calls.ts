/** The tool calls of a model, with names and arguments as they arrive. */

import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";

import type { ToolCall } from "../model/conversation.js";
import * as icons from "../ui/icons.js";
import { LightElement, register } from "../ui/light-element.js";
import { pretty } from "./pretty-json.js";

/** Longer arguments are folded. */
const LINES = 12;

export class Tools extends LightElement {
  static override properties = { calls: { attribute: false }, whole: { state: true } };

  declare calls: readonly ToolCall[];
  /** The indices of the calls that the user unfolded. */
  declare whole: ReadonlySet<number>;

  constructor() {
    super();
    this.calls = [];
    this.whole = new Set();
  }

  protected override render(): unknown {
    return repeat(
      this.calls,
      (_, i) => i,
      (call, i) => this.#call(call, i),
    );
  }

  #call(call: ToolCall, i: number): unknown {
    const lines = pretty(call.arguments).split("\n");
    const folded = lines.length > LINES && !this.whole.has(i);
    const shown = folded ? lines.slice(0, LINES).join("\n") : lines.join("\n");
    return html`<section class="tool" aria-label=${`Tool call ${call.name}`}>
      <p class="name">${icons.tool()}<span>${call.name || "A tool"}</span></p>
      ${call.arguments === "" ? nothing : html`<pre tabindex="0" aria-label="Arguments"><code>${shown}</code></pre>`}
      ${lines.length > LINES
        ? html`<button class="plain" type="button" aria-expanded=${!folded} @click=${() => {
            this.#turn(i);
          }}>${folded ? `Show all ${lines.length} lines` : "Show less"}</button>`
        : nothing}
    </section>`;
  }

  #turn(i: number): void {
    const whole = new Set(this.whole);
    if (!whole.delete(i)) whole.add(i);
    this.whole = whole;
  }
}

register("hub-tools", Tools);
