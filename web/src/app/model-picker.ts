/**
 * Which model answers: a native select, which every device knows how to show.
 *
 * The choice is this browser's and is remembered. What the hub no longer offers is not asked
 * for: then its default is.
 */

import { html, render } from "lit";

import type { Hub } from "../client/hub.js";
import type { LocalStore } from "./local-store.js";

const KEY = "model";

export class ModelPicker {
  readonly element = document.createElement("select");
  #models: readonly string[] = [];

  constructor(
    private readonly store: LocalStore,
    private readonly changed: (model: string | undefined) => void,
  ) {
    this.element.className = "picker";
    this.element.setAttribute("aria-label", "Model");
    this.element.hidden = true;
    this.element.addEventListener("change", () => {
      this.store.set(KEY, this.element.value);
      this.changed(this.chosen);
    });
    store.watch(KEY, () => {
      this.#show();
    });
  }

  /** The model to ask; `undefined` before the hub has said which there are. */
  get chosen(): string | undefined {
    const kept = this.store.get(KEY);
    return this.#models.find((model) => model === kept) ?? this.#models[0];
  }

  /** Ask the hub, until it once has answered. */
  async ask(hub: Hub): Promise<void> {
    if (this.#models.length > 0) return;
    try {
      this.#models = await hub.models();
    } catch {
      return; // It is asked again when the connection is back; until then the default answers.
    }
    this.#show();
  }

  #show(): void {
    render(this.#models.map((model) => html`<option value=${model}>${model}</option>`), this.element);
    this.element.value = this.chosen ?? "";
    this.element.hidden = this.#models.length === 0;
    this.changed(this.chosen);
  }
}
