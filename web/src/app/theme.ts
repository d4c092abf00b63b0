/**
 * The theme: light, dark or the system's, remembered and shared by all tabs.
 *
 * The choice is an attribute of the root element, which the style sheet uses for `color-scheme`
 * and `light-dark()`. public/theme.js sets it before the first paint.
 */

import type { LocalStore } from "./local-store.js";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "theme";

export class ThemeChoice {
  #theme: Theme;

  constructor(
    private readonly store: LocalStore,
    private readonly changed: (theme: Theme) => void,
  ) {
    this.#theme = this.#stored();
    this.#show();
    store.watch(KEY, () => {
      this.#theme = this.#stored();
      this.#show();
    });
  }

  get theme(): Theme {
    return this.#theme;
  }

  choose(theme: Theme): void {
    this.#theme = theme;
    this.store.set(KEY, theme);
    this.#show();
  }

  #stored(): Theme {
    const value = this.store.get(KEY);
    return THEMES.find((theme) => theme === value) ?? "system";
  }

  #show(): void {
    const root = document.documentElement;
    if (this.#theme === "system") delete root.dataset.theme;
    else root.dataset.theme = this.#theme;
    this.changed(this.#theme);
  }
}
