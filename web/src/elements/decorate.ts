/**
 * Sanitized nodes, made fit for people: links that say where they go, images that wait for a
 * click, code with its bar, tables that scroll.
 *
 * What is added here is made by this program and not by the text, so it comes after the wall.
 */

import { CodeBlock } from "./code-block.js";
import { says, target } from "./links.js";
import { word } from "./markup.js";

/** Characters that turn the direction of what follows; in a link they can turn its address. */
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** What is in a node, but for the white space between elements. */
export function inside(parent: Node): ChildNode[] {
  return [...parent.childNodes].filter((node) => node instanceof Element || node.textContent?.trim() !== "");
}

export function decorate(fragment: DocumentFragment): void {
  for (const list of fragment.querySelectorAll("ul, ol")) list.replaceChildren(...inside(list));
  for (const pre of fragment.querySelectorAll("pre")) pre.replaceWith(codeBlock(pre));
  for (const table of fragment.querySelectorAll("table")) scrollable(table);
  for (const link of fragment.querySelectorAll("a")) dressLink(link);
  // Each block goes by its own first letter: an Arabic answer must not turn the code in it round.
  for (const block of fragment.children) if (!block.hasAttribute("dir")) block.setAttribute("dir", "auto");
}

function codeBlock(pre: Element): Element {
  const code = pre.querySelector("code");
  const block = new CodeBlock();
  const language = word(code?.className.replace(/^language-/, "") ?? "");
  block.set(pre.textContent, language);
  return block.element;
}

function scrollable(table: Element): void {
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
