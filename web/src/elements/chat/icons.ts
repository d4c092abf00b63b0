/** The conversation's drawings: strokes on a grid of 24, in the colour of the text. */

import { html, svg, type TemplateResult } from "lit";

const PATHS = {
  send: svg`<path d="M12 19V5.5M6 11l6-6 6 6"/>`,
  stop: svg`<rect x="7" y="7" width="10" height="10" rx="2" fill="currentColor"/>`,
  copy: svg`<rect x="9" y="9" width="11" height="11" rx="2.5"/><path d="M15.5 5.5a2 2 0 0 0-2-2h-7a3 3 0 0 0-3 3v7a2 2 0 0 0 2 2"/>`,
  copied: svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`,
  again: svg`<path d="M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 3.5v4h-4"/>`,
  edit: svg`<path d="m4.5 19.5 1-4L16 5a2.1 2.1 0 0 1 3 3L8.5 18.5Z"/>`,
  back: svg`<path d="m14.5 6-6 6 6 6"/>`,
  on: svg`<path d="m9.5 6 6 6-6 6"/>`,
  down: svg`<path d="M12 5v13.5M6 13l6 6 6-6"/>`,
  tool: svg`<path d="M14.5 6.5a4 4 0 0 0-5 5L4 17l3 3 5.5-5.5a4 4 0 0 0 5-5L15 12l-3-3Z"/>`,
  warning: svg`<path d="M12 8.5v4.5M12 16.5h.01"/><circle cx="12" cy="12" r="8.5"/>`,
} as const;

export type Icon = keyof typeof PATHS;

export function icon(name: Icon): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${PATHS[name]}</svg>`;
}
