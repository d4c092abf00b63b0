/**
 * A part of the conversation: an element without a shadow tree of its own.
 *
 * It renders into itself, inside <hub-chat>'s shadow tree, so that text can be selected across
 * messages and one set of styles serves all. It is still an element, so that it renders alone:
 * of a conversation of hundreds of turns only the reply that grows is looked at.
 */

import { LitElement } from "lit";

export class LightElement extends LitElement {
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  /** Tell the conversation, and nobody outside of it. */
  protected tell(type: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true }));
  }
}

/** Register an element, once, also where a page loads this file twice. */
export function register(name: string, element: CustomElementConstructor): void {
  if (!customElements.get(name)) customElements.define(name, element);
}
