/**
 * One block of Markdown to nodes of the page: `shape` gives them without the white space between.
 *
 * GitHub's Markdown, with three differences. HTML in it is text, but for a few tags that only
 * dress words and carry no attribute. Images become links that say so (`rel="image"`): nothing
 * is loaded that nobody asked for. And nesting ends at a depth that no reader wants, since a
 * thousand brackets must cost no more than a thousand letters.
 *
 * The markup passes the wall (sanitize.ts). What is added to the nodes behind it is made by this
 * program and not by the text: links that say where they go, images that wait for a click, code
 * with its bar, tables that scroll.
 */

import { getDefaults, Lexer, Parser, Renderer, Tokenizer, type Tokens } from "marked";

import { CodeBlock } from "./code.js";
import { says, target } from "./links.js";
import { sanitize } from "./sanitize.js";

const DEEPEST = 16;
/** A block with more marks than this is no prose: its stars, or its tags, are text. */
const MOST_MARKS = 400;
/**
 * A word this long, of letters that a mail address may have, is no address, and to look at each
 * of its letters for where it might end would take as many steps as it has letters, squared.
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

  /** Addresses are links only where somebody says so. */
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

/** The language that the text behind a fence's marks names; "text" if it names none. */
export function word(info: string): string {
  return /^[\w+#.-]{1,40}/.exec(info.trim())?.[0].toLowerCase() ?? "text";
}

/** The link reference definitions of a text so far, and who asked for one in vain. */
export interface References {
  readonly known: Map<string, { href: string; title: string | undefined }>;
  readonly missed: Set<string>;
}

/** What the definitions of one text may come to; more are text. */
const MOST_REFERENCES = 300;

/** Markup of one block; its definitions are added to the references. */
export function markup(source: string, references: References): string {
  const tokenizer = new Careful(source);
  const options = { ...getDefaults(), gfm: true, tokenizer, renderer: new Plain() };
  const lexer = new Lexer(options);
  if (ENDLESS_WORD.test(source)) tokenizer.readNoAddresses();
  lexer.tokens.links = asked(references);
  try {
    const tokens = lexer.lex(source);
    for (const [label, { href, title }] of Object.entries(lexer.tokens.links)) {
      if (references.known.has(label) || references.known.size >= MOST_REFERENCES) continue;
      references.known.set(label, { href, title: title ?? undefined });
    }
    return new Parser(options).parse(tokens);
  } catch {
    // Whatever the parser cannot bear is still somebody's text.
    return `<p>${escape(source)}</p>`;
  }
}

function asked({ known, missed }: References): Lexer["tokens"]["links"] {
  const links = Object.assign(Object.create(null), Object.fromEntries(known)) as Lexer["tokens"]["links"];
  return new Proxy(links, {
    get(all, label) {
      if (typeof label === "string" && !(label in all) && missed.size < MOST_REFERENCES) missed.add(label);
      return Reflect.get(all, label) as unknown;
    },
  });
}

// Behind the wall

/** Characters that turn the direction of what follows; in a link they can turn its address. */
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** What is in a node, but for the white space between elements. */
export function inside(parent: Node): ChildNode[] {
  return [...parent.childNodes].filter((node) => node instanceof Element || node.textContent?.trim() !== "");
}

function decorate(fragment: DocumentFragment): void {
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

/** A block as nodes, without the white space between them. */
export function shape(source: string, references: References): ChildNode[] {
  const fragment = sanitize(markup(source, references));
  decorate(fragment);
  return inside(fragment);
}
