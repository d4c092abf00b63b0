/**
 * Code to coloured nodes: highlight.js with the languages that models write most.
 *
 * Its output is a string of spans and escaped text. It is read here piece by piece and built
 * with the DOM's own calls, so that no parser of HTML ever sees it.
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
export function highlight(code: string, language: string): ChildNode[] {
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
