/**
 * Shows formulas: as they are written at first, and set by KaTeX once that has come.
 *
 * KaTeX is a file of its own (src/math), which is loaded when the first formula is shown. A formula
 * that it cannot set, or that is still being written, stays as it is written.
 */

import { nextFrame } from "../ui/frames.js";
import { seal } from "./morph.js";
import { ownFile } from "./own-files.js";
import { sanitizeFormula } from "./sanitize.js";

/** What `math.js` exports. */
interface Math {
  /** A formula as markup; throws if it is none. */
  readonly markup: (tex: string, isDisplay: boolean) => string;
  /** The style of formulas. */
  readonly style: CSSStyleSheet;
}

interface Pending {
  readonly source: string;
  readonly isDisplay: boolean;
}

/** The longest formula that is set. */
const LONGEST = 5_000;
/** The milliseconds after which it is tried again to load KaTeX. */
const AGAIN = 10_000;

const sources = new WeakMap<Element, string>();
const pending = new Map<HTMLElement, Pending>();
let math: Math | null = null;
let nextLoad = 0;
let load = async (): Promise<Math> => (await import(/* @vite-ignore */ ownFile("math.js"))) as Math;

/** Load KaTeX in another way. */
export function loadMathWith(other: () => Promise<Math>): void {
  [load, math, nextLoad] = [other, null, 0];
}

/** An element with a formula: its source with the marks around it, and `math-inline`, `-display` or `-open`. */
export function formula(source: string, kind: string): HTMLElement {
  const element = document.createElement("span");
  const isDisplay = kind === "math-display";
  element.className = isDisplay ? "hub-math hub-math-display" : "hub-math";
  element.textContent = source;
  seal(element, `${kind} ${source}`);
  sources.set(element, source);
  if (kind !== "math-open" && source.length <= LONGEST) pending.set(element, { source, isDisplay });
  return element;
}

/** When text is copied, formulas are copied as they were written. */
export function copyFormulas(event: ClipboardEvent): void {
  const range = selected(event.currentTarget);
  const root = range?.commonAncestorContainer;
  if (range === undefined || root === undefined || event.clipboardData === null) return;
  const around = (root instanceof Element ? root : root.parentElement)?.closest(".hub-math-set");
  const source = around ? sources.get(around) : undefined;
  if (source !== undefined) copied(event, source);
  else if (root instanceof Element && root.querySelector(".hub-math-set") !== null) copied(event, written(root, range));
}

function copied(event: ClipboardEvent, text: string): void {
  event.clipboardData?.setData("text/plain", text);
  event.preventDefault();
}

/** The range that is selected in the tree of an element. */
function selected(within: EventTarget | null): Range | undefined {
  if (!(within instanceof Node)) return undefined;
  const root = within.getRootNode() as { getSelection?: () => Selection | null };
  const selection = root.getSelection?.() ?? document.getSelection();
  return selection !== null && selection.rangeCount > 0 && !selection.isCollapsed ? selection.getRangeAt(0) : undefined;
}

const APART = /^(?:P|H\d|LI|TR|BLOCKQUOTE|PRE|DIV|TABLE|UL|OL)$/;

/** The text of a range, with the source of its formulas. */
function written(node: Node, range: Range): string {
  if (!range.intersectsNode(node)) return "";
  if (node instanceof Text) {
    const from = node === range.startContainer ? range.startOffset : 0;
    return node.data.slice(from, node === range.endContainer ? range.endOffset : undefined);
  }
  if (!(node instanceof Element)) return "";
  const source = node.classList.contains("hub-math-set") ? sources.get(node) : undefined;
  if (source !== undefined) return source;
  if (node.tagName === "BR") return "\n";
  const inner = [...node.childNodes].map((child) => written(child, range)).join("");
  if (/^T[HD]$/.test(node.tagName)) return `${inner}\t`;
  return APART.test(node.tagName) && inner !== "" && !inner.endsWith("\n") ? `${inner}\n` : inner;
}

/** Until this time, set the formulas that are in the document by now; forget those that are not. */
export function typesetFormulas(until: number): void {
  if (pending.size === 0) return;
  for (const element of pending.keys()) if (!element.isConnected) pending.delete(element);
  if (pending.size === 0) return;
  if (math === null) void loadMath();
  else if (typesetSome(until)) nextFrame(typesetSome);
}

async function loadMath(): Promise<void> {
  if (performance.now() < nextLoad) return;
  nextLoad = Infinity;
  try {
    math = await load();
    nextFrame(typesetSome);
  } catch {
    nextLoad = performance.now() + AGAIN;
  }
}

/** Returns whether there are more. */
function typesetSome(until: number): boolean {
  for (const [element, formula] of pending) {
    if (performance.now() >= until) return true;
    pending.delete(element);
    if (math !== null && element.isConnected) typeset(math, element, formula);
  }
  return false;
}

function typeset({ markup, style }: Math, element: HTMLElement, { source, isDisplay }: Pending): void {
  const { adoptedStyleSheets } = element.getRootNode() as Document | ShadowRoot;
  if (!adoptedStyleSheets.includes(style)) adoptedStyleSheets.push(style);
  const marks = source.startsWith("$") && !source.startsWith("$$") ? 1 : 2;
  try {
    element.replaceChildren(sanitizeFormula(markup(source.slice(marks, -marks), isDisplay)));
    element.classList.add("hub-math-set");
  } catch {
    // What was written stays.
  }
}
