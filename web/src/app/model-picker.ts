/**
 * The choice of the model: a native select, which works well on every device.
 *
 * The browser remembers the choice. If the hub no longer offers that model, the hub's default is
 * used.
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

  /** The model to use; `undefined` until the list of models is known. */
  get chosen(): string | undefined {
    const kept = this.store.get(KEY);
    return this.#models.find((model) => model === kept) ?? this.#models[0];
  }

  /** Get the list of models from the hub, until that has succeeded once. */
  async ask(hub: Hub): Promise<void> {
    if (this.#models.length > 0) return;
    try {
      this.#models = await hub.models();
    } catch {
      return; // Repeated when the connection is back; until then the default is used.
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
