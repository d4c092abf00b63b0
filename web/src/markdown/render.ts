/**
 * Renders one block of Markdown to DOM nodes.
 *
 * The markup is sanitized (sanitize.ts). What is added to the nodes afterwards comes from this
 * program and not from the text: visible link targets, images that wait for a click, formulas, and
 * tables that scroll.
 */

import { formula } from "./formulas.js";
import { inline, type References, withoutDefinitions } from "./inline.js";
import type { Block } from "./lex.js";
import { says, target } from "./links.js";
import { sanitize } from "./sanitize.js";
import { type Alignment, rowCells } from "./table.js";

/** The language that a fence's info string names, or "text". */
export function word(info: string): string {
  return /^[\w+#.-]{1,40}/.exec(info.trim())?.[0].toLowerCase() ?? "text";
}

/** How a block is shown. */
export interface Manner {
  /** It is the first block of a list item, so it is not set apart. */
  readonly isFirstOfItem: boolean;
  /** Where what is written of it ends, if more may come. */
  readonly end?: number | undefined;
}

/** A block, other than code, as DOM nodes; this adds its definitions to the references. */
export function shape(block: Block, references: References, manner: Manner): ChildNode[] {
  const fragment = sanitize(markup(block, references, manner));
  decorate(fragment);
  return [...fragment.childNodes];
}

/** The markup of a block, other than code. */
export function markup(block: Block, references: References, { isFirstOfItem, end }: Manner): string {
  const { kind, source, part, columns } = block;
  switch (kind) {
    case "paragraph": {
      const text = part === "next" ? source : withoutDefinitions(source, references);
      if (text === "") return "";
      const inner = inline(text, references, end === undefined ? undefined : end - source.length + text.length);
      if (part === "next") return `<span>${inner}</span>`;
      const tag = isFirstOfItem ? "span" : "p";
      return `<${tag}>${part === "first" ? `<span>${inner}</span>` : inner}</${tag}>`;
    }
    case "heading": {
      const tag = `h${block.level}`;
      return `<${tag}>${inline(source, references, end)}</${tag}>`;
    }
    case "rule":
      return "<hr>";
    case "table":
      return `<table><thead>${row("th", source, columns, references)}</thead><tbody></tbody></table>`;
    case "row":
      return `<table><tbody>${row("td", source, columns, references)}</tbody></table>`;
    case "code":
    case "empty":
      return "";
  }
}

function row(tag: string, source: string, columns: readonly Alignment[], references: References): string {
  const cells = rowCells(source, columns.length).map((cell, i) => {
    const align = columns[i];
    return `<${tag}${align === undefined ? "" : ` align="${align}"`}>${inline(cell, references)}</${tag}>`;
  });
  return `<tr>${cells.join("")}</tr>`;
}

// After sanitizing

/** Characters that change the text direction; in a link they can disguise its URL. */
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function decorate(fragment: DocumentFragment): void {
  for (const code of fragment.querySelectorAll("code[class]")) code.replaceWith(formula(code.textContent, code.className));
  for (const table of fragment.querySelectorAll("table")) unwrap(table);
  for (const link of fragment.querySelectorAll("a")) dressLink(link);
}

/** A table that scrolls, or only the rows of one without a head. */
function unwrap(table: Element): void {
  if (table.querySelector("thead") === null) {
    table.replaceWith(...table.querySelectorAll("tr"));
    return;
  }
  const around = document.createElement("div");
  around.className = "hub-table";
  around.tabIndex = 0;
  around.setAttribute("role", "group");
  around.setAttribute("aria-label", "Table");
  table.replaceWith(around);
  around.append(table);
}

function dressLink(link: HTMLAnchorElement): void {
  const isImage = link.getAttribute("rel") === "image";
  const where = target(link.getAttribute("href") ?? "");
  for (const name of link.getAttributeNames()) link.removeAttribute(name);
  straighten(link);
  if (isImage) {
    const alt = link.textContent.trim();
    link.textContent = alt === "" ? "image" : `image: ${alt}`;
    link.className = "hub-image";
  }
  if (where === null) return;
  link.setAttribute("href", where.href);
  link.setAttribute("target", "_blank");
  link.setAttribute("rel", "noopener noreferrer nofollow");
  if (!isImage && says(link.textContent, where.host)) return;
  const host = document.createElement("span");
  host.className = "hub-host";
  host.textContent = ` (${where.host})`;
  link.append(host);
}

function straighten(node: Node): void {
  for (const child of node.childNodes) {
    if (child instanceof Text) child.data = child.data.replace(TURNING, "");
    else straighten(child);
  }
}
