/**
 * The colours, fonts and measures of the elements, each by a custom property of the page.
 *
 * `--hub-…` is what a page sets; what it does not set has a default for light and for dark,
 * which follow the page's own `color-scheme` (`:root { color-scheme: light dark }` follows the
 * reader's system). Text has a contrast of at least 4.5:1 on what it stands on.
 */

import { css } from "lit";

export const theme = css`
  :host {
    --font: var(--hub-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif);
    --font-mono: var(--hub-font-mono, ui-monospace, "SF Mono", "Cascadia Code", "DejaVu Sans Mono", monospace);
    --font-size: var(--hub-font-size, 1rem);
    --text: var(--hub-text, light-dark(#1f2328, #e7e9ec));
    --muted: var(--hub-muted, light-dark(#5b636d, #9ba4ae));
    --background: var(--hub-background, light-dark(#ffffff, #17191c));
    --surface: var(--hub-surface, light-dark(#f6f7f8, #1f2226));
    --bubble: var(--hub-bubble, light-dark(#eef1f5, #2a2e34));
    --line: var(--hub-line, light-dark(#dfe3e8, #343a41));
    --accent: var(--hub-accent, light-dark(#2f5fd0, #8fb2ff));
    --on-accent: var(--hub-on-accent, light-dark(#ffffff, #10182b));
    --error: var(--hub-error, light-dark(#b3261e, #ff9a8f));
    --warn: var(--hub-warn, light-dark(#8a5a00, #f0c060));
    --good: var(--hub-good, light-dark(#1f7a3d, #6fd08c));
    --radius: var(--hub-radius, 0.875rem);
    --measure: var(--hub-measure, 46rem);
  }
`;
