/**
 * Light, dark, or as the system has it: remembered, and the same in all tabs.
 *
 * The choice is an attribute of the root; the style sheet does the rest with `color-scheme`
 * and `light-dark()`. public/theme.js sets it before the first paint.
 */

import type { Memory } from "./memory.js";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "theme";

export class ThemeChoice {
  #theme: Theme;

  constructor(
    private readonly memory: Memory,
    private readonly changed: (theme: Theme) => void,
  ) {
    this.#theme = this.#stored();
    this.#show();
    memory.watch(KEY, () => {
      this.#theme = this.#stored();
      this.#show();
    });
  }

  get theme(): Theme {
    return this.#theme;
  }

  choose(theme: Theme): void {
    this.#theme = theme;
    this.memory.set(KEY, theme);
    this.#show();
  }

  #stored(): Theme {
    const value = this.memory.get(KEY);
    return THEMES.find((theme) => theme === value) ?? "system";
  }

  #show(): void {
    const root = document.documentElement;
    if (this.#theme === "system") delete root.dataset.theme;
    else root.dataset.theme = this.#theme;
    this.changed(this.#theme);
  }
}
