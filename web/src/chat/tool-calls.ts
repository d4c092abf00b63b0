/** The tool calls of a model, with names and arguments as they arrive, and results of the provider's. */

import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";

import type { ToolCall } from "../model/conversation.js";
import * as icons from "../ui/icons.js";
import { LightElement, register } from "../ui/light-element.js";
import { pretty } from "./pretty-json.js";

/** Longer arguments and results are folded. */
const LINES = 12;
const LENGTH = 4_000;

export class Tools extends LightElement {
  static override properties = { calls: { attribute: false }, whole: { state: true } };

  declare calls: readonly ToolCall[];
  /** The blocks that the user unfolded. */
  declare whole: ReadonlySet<string>;

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
    return html`<section class="tool" aria-label=${`Tool call ${call.name}`}>
      <p class="name">${icons.tool()}<span>${call.name || "A tool"}</span></p>
      ${this.#block("Arguments", call.arguments, i)}
      ${call.output === undefined ? nothing : this.#block(call.failed ? "Error" : "Result", call.output, i)}
    </section>`;
  }

  #block(label: string, text: string, i: number): unknown {
    if (text === "") return nothing;
    const key = `${label} ${i}`;
    const whole = this.whole.has(key);
    const lines = pretty(text).split("\n");
    const all = lines.join("\n");
    const first = lines.slice(0, LINES).join("\n").slice(0, LENGTH);
    const long = first.length < all.length;
    return html`<pre tabindex="0" aria-label=${label}><code>${whole ? all : first}</code></pre>
      ${long
        ? html`<button class="plain" type="button" aria-expanded=${whole} @click=${() => {
            this.#turn(key);
          }}>${whole ? "Show less" : lines.length > LINES ? `Show all ${lines.length} lines` : "Show all"}</button>`
        : nothing}`;
  }

  #turn(key: string): void {
    const whole = new Set(this.whole);
    if (!whole.delete(key)) whole.add(key);
    this.whole = whole;
  }
}

register("hub-tools", Tools);
