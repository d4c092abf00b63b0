/**
 * Renders one block of Markdown to DOM nodes.
 *
 * It is GitHub's Markdown with three differences. HTML is shown as text, except for a few tags
 * without attributes that only format words. Images become links (`rel="image"`), so that nothing
 * is loaded unless the user wants it. And the nesting depth is bounded, because a thousand brackets
 * must cost no more than a thousand letters.
 *
 * The markup is sanitized (sanitize.ts). What is added to the nodes afterwards comes from this
 * program and not from the text: visible link targets, images that wait for a click, the bar above
 * code, and tables that scroll.
 */

import { getDefaults, Lexer, Parser, Renderer, Tokenizer, type Tokens } from "marked";

import { CodeBlock } from "./code.js";
import { says, target } from "./links.js";
import { sanitize } from "./sanitize.js";

const DEEPEST = 16;
/** A block with more markers than this is not prose, so its stars and tags are shown as text. */
const MOST_MARKS = 400;
/**
 * A word this long is not a mail address even if all of its characters are allowed in one, and
 * checking that takes quadratic time.
 */
const ENDLESS_WORD = /[\w.!#$%&'*+/=?`{|}~-]{1000}/;
const TAG = /^<(\/?)(br|b|i|u|s|em|strong|del|ins|mark|sub|sup|kbd)[ \t]*\/?>/i;

export function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

class Careful extends Tokenizer {
  private depth = 0;
  private readonly hasStress: boolean;
  private readonly hasTags: boolean;

  constructor(source: string) {
    super();
    this.hasStress = atMost(source, /[*_~]+/g);
    this.hasTags = atMost(source, /</g);
  }

  /** Do not make links of plain addresses. */
  readNoAddresses(): void {
    const { text, url } = Lexer.rules.inline.normal;
    this.rules = { ...this.rules, inline: { ...this.rules.inline, text, url } };
  }

  override html(): undefined {
    return undefined;
  }

  override tag(src: string): Tokens.Tag | undefined {
    const found = this.hasTags ? TAG.exec(src) : null;
    if (found === null) return undefined;
    const [raw, slash = "", name = ""] = found;
    const text = `<${slash}${name.toLowerCase()}>`;
    return { type: "html", raw, text, block: false, inLink: false, inRawBlock: false };
  }

  override blockquote(src: string): Tokens.Blockquote | undefined {
    return this.deeper(() => super.blockquote(src));
  }

  override list(src: string): Tokens.List | undefined {
    return this.deeper(() => super.list(src));
  }

  override emStrong(src: string, masked: string, before?: string): Tokens.Em | Tokens.Strong | undefined {
    return this.hasStress ? this.deeper(() => super.emStrong(src, masked, before)) : undefined;
  }

  override del(src: string, masked: string, before?: string): Tokens.Del | undefined {
    return this.hasStress ? this.deeper(() => super.del(src, masked, before)) : undefined;
  }

  override link(src: string): Tokens.Link | Tokens.Image | undefined {
    return this.deeper(() => super.link(src));
  }

  private deeper<T>(parse: () => T | undefined): T | undefined {
    if (this.depth >= DEEPEST) return undefined;
    this.depth += 1;
    try {
      return parse();
    } finally {
      this.depth -= 1;
    }
  }
}

function atMost(source: string, mark: RegExp): boolean {
  let count = 0;
  while (mark.exec(source) !== null && count <= MOST_MARKS) count += 1;
  return count <= MOST_MARKS;
}

class Plain extends Renderer {
  private inLink = false;

  override link({ href, tokens }: Tokens.Link): string {
    this.inLink = true;
    const inner = this.parser.parseInline(tokens);
    this.inLink = false;
    return `<a href="${escape(href)}">${inner}</a>`;
  }

  override image({ href, text }: Tokens.Image): string {
    if (this.inLink) return escape(text);
    return `<a rel="image" href="${escape(href)}">${escape(text)}</a>`;
  }

  override code({ text, lang }: Tokens.Code): string {
    return `<pre><code class="language-${word(lang ?? "")}">${escape(text)}\n</code></pre>`;
  }

  override checkbox({ checked }: Tokens.Checkbox): string {
    return checked ? "☑ " : "☐ ";
  }
}

/** The language that a fence's info string names, or "text". */
export function word(info: string): string {
  return /^[\w+#.-]{1,40}/.exec(info.trim())?.[0].toLowerCase() ?? "text";
}

/** The link reference definitions of a text so far, and the references that found none. */
export interface References {
  readonly known: Map<string, { href: string; title: string | undefined }>;
  readonly missed: Set<string>;
}

/** The most definitions of one text; more are shown as text. */
const MOST_REFERENCES = 300;

/** The markup of one block; this adds its definitions to the references. */
export function markup(source: string, references: References): string {
  const tokenizer = new Careful(source);
  const options = { ...getDefaults(), gfm: true, tokenizer, renderer: new Plain() };
  const lexer = new Lexer(options);
  if (ENDLESS_WORD.test(source)) tokenizer.readNoAddresses();
  lexer.tokens.links = trackMissing(references);
  try {
    const tokens = lexer.lex(source);
    for (const [label, { href, title }] of Object.entries(lexer.tokens.links)) {
      if (references.known.has(label) || references.known.size >= MOST_REFERENCES) continue;
      references.known.set(label, { href, title: title ?? undefined });
    }
    return new Parser(options).parse(tokens);
  } catch {
    // Show text on which the parser fails as it is.
    return `<p>${escape(source)}</p>`;
  }
}

function trackMissing({ known, missed }: References): Lexer["tokens"]["links"] {
  const links = Object.assign(Object.create(null), Object.fromEntries(known)) as Lexer["tokens"]["links"];
  return new Proxy(links, {
    get(all, label) {
      if (typeof label === "string" && !(label in all) && missed.size < MOST_REFERENCES) missed.add(label);
      return Reflect.get(all, label) as unknown;
    },
  });
}

// After sanitizing

/** Characters that change the text direction; in a link they can disguise its URL. */
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The children of a node, without the white space between elements. */
export function inside(parent: Node): ChildNode[] {
  return [...parent.childNodes].filter((node) => node instanceof Element || node.textContent?.trim() !== "");
}

function decorate(fragment: DocumentFragment): void {
  for (const list of fragment.querySelectorAll("ul, ol")) list.replaceChildren(...inside(list));
  for (const pre of fragment.querySelectorAll("pre")) pre.replaceWith(codeBlock(pre));
  for (const table of fragment.querySelectorAll("table")) scrollable(table);
  for (const link of fragment.querySelectorAll("a")) dressLink(link);
  // Each block has the direction of its first letter: an Arabic reply must not reverse its code.
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

/** A block as DOM nodes, without the white space between them. */
export function shape(source: string, references: References): ChildNode[] {
  const fragment = sanitize(markup(source, references));
  decorate(fragment);
  return inside(fragment);
}
