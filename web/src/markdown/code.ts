/**
 * A block of code: its language, a button that copies it, and the code in colours, which may grow.
 *
 * Code of any length is coloured and laid out in pieces of some dozen lines, so that growing
 * costs no more at its end than at its beginning. A piece ends where the language most probably
 * stands outside of everything: before a line without indentation that follows an empty one,
 * and not within a string or a comment. Where the pieces end follows from the code alone.
 *
 * The colours are highlight.js's, with the languages that models write most. Its output is a
 * string of spans and escaped text. It is read here piece by piece and built with the DOM's own
 * calls, so that no parser of HTML ever sees it.
 */

import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

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

// Colours

const LANGUAGES = {
  bash, c, cpp, csharp, css, diff, go, java, javascript, json, markdown, python, rust, sql,
  typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
hljs.registerAliases(["shell", "console", "terminal"], { languageName: "bash" });
hljs.registerAliases(["json5", "jsonc", "ndjson"], { languageName: "json" });

/** A line of this length was not written to be read; with colours it would take long to lay out. */
const LONG_LINE = /[^\n]{1000}/;
/** Scopes deeper than this are no one's code. */
const DEEPEST = 8;

/** Languages that have colours here. */
function isKnown(language: string): boolean {
  return hljs.getLanguage(language) !== undefined;
}

const PIECE = /<span class="([\w -]+)">|<\/span>|([^<]+)/g;
const ESCAPED = /&(?:amp|lt|gt|quot|#x27);/g;
const ESCAPES: Record<string, string> = {
  "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'",
};

/** The code as nodes; without colours where the language is not known or a line has no end. */
function highlight(code: string, language: string): ChildNode[] {
  if (!isKnown(language) || LONG_LINE.test(code)) return code === "" ? [] : [document.createTextNode(code)];
  const top = document.createElement("span");
  let inner: Element = top;
  let depth = 0;
  for (const [piece, classes, text] of coloured(code, language).matchAll(PIECE)) {
    if (text !== undefined) inner.append(text.replace(ESCAPED, (found) => ESCAPES[found] ?? found));
    else if (piece === "</span>") {
      if (depth <= DEEPEST) inner = inner.parentElement ?? top;
      depth -= 1;
    } else {
      depth += 1;
      if (depth <= DEEPEST) inner = inner.appendChild(span(classes ?? ""));
    }
  }
  top.normalize();
  return [...top.childNodes];
}

/** A list is parsed again while it grows; the code that stands in it is not. */
const recent = new Map<string, string>();
const MOST_RECENT = 16;

function coloured(code: string, language: string): string {
  const key = `${language}\n${code}`;
  const found = recent.get(key) ?? hljs.highlight(code, { language, ignoreIllegals: true }).value;
  recent.delete(key);
  recent.set(key, found);
  for (const oldest of recent.keys()) {
    if (recent.size <= MOST_RECENT) break;
    recent.delete(oldest);
  }
  return found;
}

function span(classes: string): Element {
  const element = document.createElement("span");
  element.className = classes;
  return element;
}
