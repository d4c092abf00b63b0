/**
 * A block of code: its language, a button that copies it, and the code, which may grow.
 *
 * Code of any length is coloured and laid out in pieces of some dozen lines, so that growing
 * costs no more at its end than at its beginning. A piece ends where the language most probably
 * stands outside of everything: before a line without indentation that follows an empty one,
 * and not within a string or a comment. Where the pieces end follows from the code alone.
 */

import { highlight } from "./highlight.js";
import { morphAfter, trimAfter } from "./morph.js";

const SHORTEST = 1_500;
const LONGEST = 3_000;

/** An empty line and then one that begins at its very beginning. */
const GAP = /\n[ \t]*\n(?=[^\s)\]}])/g;

export class CodeBlock {
  readonly element = document.createElement("div");
  private readonly label = document.createElement("span");
  private readonly pre = document.createElement("pre");
  private readonly code = document.createElement("code");
  private language = "";
  private shown = "";
  /** How much of the code is in pieces that do not change. */
  private fixed = 0;
  private last: HTMLElement | null = null;

  constructor() {
    const bar = document.createElement("div");
    const copy = document.createElement("button");
    this.element.className = "hub-code";
    this.element.dir = "ltr";
    bar.className = "hub-code-bar";
    this.label.className = "hub-code-language";
    copy.className = "hub-copy";
    copy.type = "button";
    copy.textContent = "Copy";
    copy.setAttribute("aria-label", "Copy code");
    this.pre.tabIndex = 0;
    this.pre.setAttribute("role", "group");
    bar.append(this.label, copy);
    this.pre.append(this.code);
    this.element.append(bar, this.pre);
  }

  /** Show this code; gives whether all of it is shown, or more must be done until that time. */
  set(code: string, language: string, until = Infinity): boolean {
    if (language !== this.language || !code.startsWith(this.shown)) this.begin(language);
    this.shown = code;
    for (let end = this.nextEnd(); end !== null; end = this.nextEnd()) {
      if (performance.now() >= until) return false;
      this.show(code.slice(this.fixed, end));
      this.fixed = end;
      this.last = null;
    }
    this.show(code.slice(this.fixed));
    return true;
  }

  private begin(language: string): void {
    this.language = language;
    this.label.textContent = language;
    this.code.className = `hljs language-${language}`;
    this.pre.setAttribute("aria-label", `Code, ${language}`);
    this.code.replaceChildren();
    this.last = null;
    this.fixed = 0;
  }

  /** Where the piece that is now last ends; null if that cannot be told yet. */
  private nextEnd(): number | null {
    const rest = this.shown.slice(this.fixed, this.fixed + LONGEST + 1);
    GAP.lastIndex = SHORTEST;
    for (let gap = GAP.exec(rest); gap !== null; gap = GAP.exec(rest)) {
      const end = GAP.lastIndex;
      if (!endsWithin(highlight(rest.slice(0, end), this.language))) return this.fixed + end;
      GAP.lastIndex = end + SHORTEST / 3;
    }
    if (rest.length <= LONGEST) return null;
    const line = rest.lastIndexOf("\n", LONGEST - 1) + 1;
    const unit = rest.charCodeAt(LONGEST - 1);
    const cut = unit >= 0xd800 && unit <= 0xdbff ? LONGEST - 1 : LONGEST;
    return this.fixed + (line > 0 ? line : cut);
  }

  private show(piece: string): void {
    if (piece === "" && this.last === null) return;
    this.last ??= this.code.appendChild(document.createElement("span"));
    const nodes = highlight(piece, this.language);
    trimAfter(this.last, morphAfter(this.last, null, nodes));
    // A line that goes on in the next piece must not be broken here.
    this.last.className = piece.endsWith("\n") ? "hub-piece" : "";
  }
}

/** The end of the code lies within a string or a comment. */
function endsWithin(nodes: readonly ChildNode[]): boolean {
  const last = nodes.at(-1);
  return last instanceof Element && /hljs-(?:string|comment)/.test(last.className);
}

/** The code block that a node lies in, as text; null outside of one. */
export function codeAround(node: Element): string | null {
  return node.closest(".hub-code")?.querySelector("code")?.textContent ?? null;
}
