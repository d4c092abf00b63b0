/** A button that copies a text and says so for a moment. */

import { html } from "lit";

import { copyText } from "../copying.js";
import { icon } from "./icons.js";
import { Light, register } from "./light.js";

const SHOWN = 1600;

type Outcome = "none" | "copied" | "refused";

export class Copier extends Light {
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
      ${icon(this.outcome === "copied" ? "copied" : "copy")}
    </button>`;
  }

  readonly #copy = async (): Promise<void> => {
    this.outcome = (await copyText(this.text)) ? "copied" : "refused";
    setTimeout(() => (this.outcome = "none"), SHOWN);
  };
}

register("hub-copy", Copier);
