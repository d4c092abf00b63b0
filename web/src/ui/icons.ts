/**
 * Icons for buttons: strokes on a grid of 24, in the colour of the text.
 *
 * Each is a function of its own, so that a bundle only contains those that it uses.
 */

import { html, svg, type SVGTemplateResult, type TemplateResult } from "lit";

export type Icon = () => TemplateResult;

function draw(drawing: SVGTemplateResult): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${drawing}</svg>`;
}

export const send = (): TemplateResult => draw(svg`<path d="M12 19V5.5M6 11l6-6 6 6"/>`);
export const stop = (): TemplateResult => draw(svg`<rect x="7" y="7" width="10" height="10" rx="2" fill="currentColor"/>`);
export const copy = (): TemplateResult => draw(svg`<rect x="9" y="9" width="11" height="11" rx="2.5"/><path d="M15.5 5.5a2 2 0 0 0-2-2h-7a3 3 0 0 0-3 3v7a2 2 0 0 0 2 2"/>`);
export const copied = (): TemplateResult => draw(svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`);
export const again = (): TemplateResult => draw(svg`<path d="M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 3.5v4h-4"/>`);
export const edit = (): TemplateResult => draw(svg`<path d="m4.5 19.5 1-4L16 5a2.1 2.1 0 0 1 3 3L8.5 18.5Z"/>`);
export const back = (): TemplateResult => draw(svg`<path d="m14.5 6-6 6 6 6"/>`);
export const on = (): TemplateResult => draw(svg`<path d="m9.5 6 6 6-6 6"/>`);
export const down = (): TemplateResult => draw(svg`<path d="M12 5v13.5M6 13l6 6 6-6"/>`);
export const above = (): TemplateResult => draw(svg`<path d="m6 14.5 6-6 6 6"/>`);
export const below = (): TemplateResult => draw(svg`<path d="m6 9.5 6 6 6-6"/>`);
export const tool = (): TemplateResult => draw(svg`<path d="M14.5 6.5a4 4 0 0 0-5 5L4 17l3 3 5.5-5.5a4 4 0 0 0 5-5L15 12l-3-3Z"/>`);
export const warning = (): TemplateResult => draw(svg`<path d="M12 8.5v4.5M12 16.5h.01"/><circle cx="12" cy="12" r="8.5"/>`);
export const plus = (): TemplateResult => draw(svg`<path d="M12 5v14M5 12h14"/>`);
export const sidebar = (): TemplateResult => draw(svg`<rect x="3.5" y="4.5" width="17" height="15" rx="3"/><path d="M9.5 4.5v15"/>`);
export const search = (): TemplateResult => draw(svg`<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4 4"/>`);
export const more = (): TemplateResult => draw(svg`<path d="M6 12h.01M12 12h.01M18 12h.01" stroke-width="2.6"/>`);
export const share = (): TemplateResult => draw(svg`<path d="M12 15V4M8 7.5 12 3.5l4 4M5 12v6.5a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V12"/>`);
export const link = (): TemplateResult => draw(svg`<path d="M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.3 1.3M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1.3-1.3"/>`);
export const eye = (): TemplateResult => draw(svg`<path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z"/><circle cx="12" cy="12" r="2.8"/>`);
export const save = (): TemplateResult => draw(svg`<path d="M12 4v11M8 11.5l4 4 4-4M5 19.5h14"/>`);
export const trash = (): TemplateResult => draw(svg`<path d="M5 7h14M10 7V5h4v2M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5"/>`);
export const close = (): TemplateResult => draw(svg`<path d="m6.5 6.5 11 11M17.5 6.5l-11 11"/>`);
export const pin = (): TemplateResult => draw(svg`<path d="M9 4h6l-1 6 3.5 3.5h-11L10 10 9 4ZM12 13.5V20"/>`);
export const fork = (): TemplateResult => draw(svg`<path d="M7 5v7a4 4 0 0 0 4 4h6M14 13l3 3-3 3"/>`);
export const keys = (): TemplateResult => draw(svg`<rect x="3" y="6.5" width="18" height="11" rx="2.5"/><path d="M7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8"/>`);
export const system = (): TemplateResult => draw(svg`<rect x="4" y="5" width="16" height="11" rx="2"/><path d="M9 20h6M12 16v4"/>`);
export const light = (): TemplateResult => draw(svg`<circle cx="12" cy="12" r="3.8"/><path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4"/>`);
export const dark = (): TemplateResult => draw(svg`<path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z"/>`);
