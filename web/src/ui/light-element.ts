/**
 * A part of the conversation: an element without a shadow tree of its own.
 *
 * It renders into itself, inside <hub-chat>'s shadow tree, so that text can be selected across
 * messages and one set of styles serves all. As an element of its own it renders separately: of a
 * conversation with hundreds of turns only the growing reply is rendered again.
 */

import { LitElement } from "lit";

export class LightElement extends LitElement {
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  /** Send an event to the conversation, but not outside of it. */
  protected tell(type: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true }));
  }
}

/** Register an element once, even if a page loads this file twice. */
export function register(name: string, element: CustomElementConstructor): void {
  if (!customElements.get(name)) customElements.define(name, element);
}
