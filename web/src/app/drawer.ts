/**
 * The two forms of the sidebar.
 *
 * In a wide window it is beside the conversation; hiding it is remembered. In a narrow window it
 * is a drawer over the conversation: a modal dialog, so that the page below is inert, Esc and a
 * press outside close it, and the focus returns to the element that opened it.
 */

import type { LocalStore } from "./local-store.js";

const NARROW = "(width <= 50rem)";
const KEY = "sidebar";

export class Drawer {
  readonly #narrow = matchMedia(NARROW);
  #opener: HTMLElement | undefined;
  #open = false;

  constructor(
    private readonly side: HTMLElement,
    private readonly front: HTMLElement,
    private readonly scrim: HTMLElement,
    private readonly store: LocalStore,
    private readonly changed: (shown: boolean) => void,
  ) {
    this.#narrow.addEventListener("change", () => {
      this.#open = false;
      this.#show();
    });
    scrim.addEventListener("click", () => {
      this.close();
    });
    side.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || !this.modal) return;
      event.preventDefault();
      this.close();
    });
    this.#show();
  }

  /** Whether it is a drawer over the page now. */
  get modal(): boolean {
    return this.#narrow.matches && this.#open;
  }

  get shown(): boolean {
    return this.#narrow.matches ? this.#open : this.store.get(KEY) !== "away";
  }

  toggle(opener?: HTMLElement): void {
    if (this.#narrow.matches) {
      if (this.#open) this.close();
      else this.open(opener);
    } else {
      this.store.set(KEY, this.shown ? "away" : "there");
      this.#show();
    }
  }

  /** Show it. */
  open(opener?: HTMLElement): void {
    if (this.shown) return;
    if (!this.#narrow.matches) {
      this.store.set(KEY, "there");
      this.#show();
      return;
    }
    this.#opener = opener;
    this.#open = true;
    this.#show();
    this.side.querySelector<HTMLElement>("button")?.focus();
  }

  /** Close the drawer; a sidebar beside the conversation stays. */
  close(): void {
    if (!this.modal) return;
    this.#open = false;
    this.#show();
    this.#opener?.focus();
  }

  #show(): void {
    const { modal, shown } = this;
    document.documentElement.dataset.sidebar = shown ? "shown" : "away";
    this.side.inert = !shown;
    this.front.inert = modal;
    this.scrim.hidden = !modal;
    this.side.role = modal ? "dialog" : "navigation";
    this.side.ariaModal = modal ? "true" : null;
    this.changed(shown);
  }
}
