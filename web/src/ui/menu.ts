/**
 * A menu below a button, as in the ARIA Authoring Practices: the arrow keys cycle through it, Esc
 * and Tab close it, and the focus returns to where it was. At most one is open.
 *
 * It is a manual popover. In the top layer nothing cuts it off. It is closed here, because its own
 * button would reopen a light-dismissed popover at once.
 */

import { html, render } from "lit";

import type { Icon } from "./icons.js";

export interface Choice {
  readonly label: string;
  readonly icon: Icon;
  readonly hint?: string;
  readonly danger?: boolean;
  run(): void;
}

const GAP = 6;
let open: Menu | undefined;

export const menuOpen = (): boolean => open !== undefined;

/** Open the menu of a button, or close it if it is open. */
export function toggleMenu(button: HTMLElement, choices: readonly Choice[]): void {
  const again = open?.button === button;
  open?.close();
  if (!again) open = new Menu(button, choices);
}

class Menu {
  readonly #box = document.createElement("div");
  readonly #over = new AbortController();

  constructor(
    readonly button: HTMLElement,
    choices: readonly Choice[],
  ) {
    const box = this.#box;
    box.className = "menu";
    box.popover = "manual";
    box.setAttribute("role", "menu");
    box.setAttribute("aria-label", button.getAttribute("aria-label") ?? button.textContent.trim());
    render(choices.map((choice) => this.#item(choice)), box);
    // In the landmark of the button, so that people who navigate by landmarks find it.
    (button.closest("header, [role=navigation], [role=dialog]") ?? document.body).append(box);
    box.showPopover();
    this.#place();
    button.setAttribute("aria-expanded", "true");
    const { signal } = this.#over;
    box.addEventListener("keydown", this.#key, { signal });
    document.addEventListener("pointerdown", this.#elsewhere, { signal, capture: true });
    addEventListener("resize", this.close, { signal });
    addEventListener("hashchange", this.close, { signal });
    this.#items[0]?.focus();
  }

  readonly close = (): void => {
    this.#over.abort();
    const inside = this.#box.contains(document.activeElement);
    this.#box.remove();
    this.button.setAttribute("aria-expanded", "false");
    if (inside) this.button.focus();
    if (open === this) open = undefined;
  };

  get #items(): HTMLElement[] {
    return [...this.#box.querySelectorAll<HTMLElement>("[role=menuitem]")];
  }

  #item(choice: Choice): unknown {
    const chosen = (): void => {
      this.close();
      choice.run();
    };
    return html`<button type="button" role="menuitem" tabindex="-1" class=${choice.danger ? "danger" : ""} @click=${chosen}>
      ${choice.icon()}<span>${choice.label}${choice.hint ? html`<small>${choice.hint}</small>` : ""}</span>
    </button>`;
  }

  /** Place it below the button, or above if there is more space, and always within the window. */
  #place(): void {
    const at = this.button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.#box;
    const below = at.bottom + GAP + height <= innerHeight;
    const top = below ? at.bottom + GAP : at.top - GAP - height;
    const left = at.left + width + GAP <= innerWidth ? at.left : at.right - width;
    this.#box.style.top = `${Math.max(GAP, top)}px`;
    this.#box.style.left = `${Math.max(GAP, left)}px`;
  }

  readonly #elsewhere = (event: Event): void => {
    const target = event.target as Node;
    // A press on the button itself toggles the menu.
    if (!this.#box.contains(target) && !this.button.contains(target)) this.close();
  };

  readonly #key = (event: KeyboardEvent): void => {
    const items = this.#items;
    const now = items.findIndex((item) => item === document.activeElement);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) items.at(to % items.length)?.focus();
    else if (event.key === "Escape" || event.key === "Tab") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
}
