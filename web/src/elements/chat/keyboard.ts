/** Typing in a field of several lines. */

/**
 * Whether a key press means "send": Enter alone.
 *
 * The Enter that ends an input method's composition does not. Safari tells it only after
 * `compositionend`, no longer as `isComposing`, but still with the old code 229.
 */
export function entered(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" || event.shiftKey || event.altKey) return false;
  return !event.isComposing && codeOf(event) !== COMPOSING;
}

const COMPOSING = 229;

/** `keyCode` is deprecated, and nothing else tells Safari's case. */
function codeOf(event: { readonly keyCode?: number }): number | undefined {
  return event.keyCode;
}

/** As high as its text, where the browser does not do so by itself; the style sheet has the limit. */
export function grow(area: HTMLTextAreaElement): void {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.blockSize = "auto";
  area.style.blockSize = `${area.scrollHeight}px`;
}
