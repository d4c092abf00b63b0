/**
 * A block of code that may grow: its language, a copy button, and the highlighted code.
 *
 * The code is highlighted and laid out in pieces of a few dozen lines, so that growing costs no
 * more at the end than at the start. A piece ends where the code is most probably at top level:
 * before a line without indentation that follows an empty one, and not within a string or a
 * comment. The ends of the pieces depend only on the code.
 *
 * highlight.js does the highlighting, with the languages that models write most. Its output is a
 * string of spans and escaped text. That is read here token by token and built with DOM calls, so
 * that no HTML parser ever sees it.
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

import { DIAGRAM, diagramButton } from "./diagram.js";
import { morphAfter, seal, trimAfter } from "./morph.js";

const SHORTEST = 1_500;
const LONGEST = 3_000;

/** An empty line, then a line without indentation. */
const GAP = /\n[ \t]*\n(?=[^\s)\]}])/g;

let count = 0;

export class CodeBlock {
  readonly element = document.createElement("div");
  private readonly label = document.createElement("span");
  private readonly pre = document.createElement("pre");
  private readonly code = document.createElement("code");
  private language = "";
  private shown = "";
  /** The length of the code in pieces that no longer change. */
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
    seal(this.element, `code ${count++}`);
  }

  /** Nothing more will be added; what it draws can be shown. */
  finish(): void {
    if (this.language === DIAGRAM) this.label.after(diagramButton());
  }

  /** Show this code; returns false if time ran out at `until` before all of it was shown. */
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

  /** The end of the last piece; null if it is not known yet. */
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
    // A line that continues in the next piece must not break here.
    this.last.className = piece.endsWith("\n") ? "hub-piece" : "";
  }
}

/** Whether the code ends within a string or a comment. */
function endsWithin(nodes: readonly ChildNode[]): boolean {
  const last = nodes.at(-1);
  return last instanceof Element && /hljs-(?:string|comment)/.test(last.className);
}

/** The text of the code block around a node, or null. */
export function codeAround(node: Element): string | null {
  return node.closest(".hub-code")?.querySelector("code")?.textContent ?? null;
}

// Highlighting

const LANGUAGES = {
  bash, c, cpp, csharp, css, diff, go, java, javascript, json, markdown, python, rust, sql,
  typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
hljs.registerAliases(["shell", "console", "terminal"], { languageName: "bash" });
hljs.registerAliases(["json5", "jsonc", "ndjson"], { languageName: "json" });

/** A line this long was not written for people, and highlighting it would slow down layout. */
const LONG_LINE = /[^\n]{1000}/;
/** No real code has scopes deeper than this. */
const DEEPEST = 8;

/** Whether a language can be highlighted. */
function isKnown(language: string): boolean {
  return hljs.getLanguage(language) !== undefined;
}

const PIECE = /<span class="([\w -]+)">|<\/span>|([^<]+)/g;
const ESCAPED = /&(?:amp|lt|gt|quot|#x27);/g;
const ESCAPES: Record<string, string> = {
  "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'",
};

/** The code as nodes, not highlighted if the language is unknown or a line is too long. */
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

/** A list is parsed again while it grows, but the code inside it is not highlighted again. */
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
