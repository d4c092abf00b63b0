/** Buttons that several parts of the page use. */

import { html } from "lit";

import { copyText } from "./clipboard.js";
import * as icons from "./icons.js";
import { LightElement, register } from "./light-element.js";

const SHOWN = 1600;

type Outcome = "none" | "copied" | "refused";

/** Copies a text, and says so for a moment. */
export class CopyButton extends LightElement {
  static override properties = { what: {}, text: { attribute: false }, outcome: { state: true } };

  declare what: string;
  declare text: string;
  declare outcome: Outcome;

  constructor() {
    super();
    this.what = "";
    this.text = "";
    this.outcome = "none";
  }

  protected override render(): unknown {
    const label = { none: `Copy ${this.what}`, copied: "Copied", refused: "The browser refused to copy" }[this.outcome];
    return html`<button class="tiny" type="button" aria-label=${label} title=${label} @click=${this.#copy}>
      ${this.outcome === "copied" ? icons.copied() : icons.copy()}
    </button>`;
  }

  readonly #copy = async (): Promise<void> => {
    this.outcome = (await copyText(this.text)) ? "copied" : "refused";
    setTimeout(() => (this.outcome = "none"), SHOWN);
  };
}

register("hub-copy", CopyButton);
