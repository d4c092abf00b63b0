/**
 * One block of Markdown to markup.
 *
 * GitHub's Markdown, with three differences. HTML in it is text, but for a few tags that only
 * dress words and carry no attribute. Images become links that say so (`rel="image"`): nothing
 * is loaded that nobody asked for. And nesting ends at a depth that no reader wants, since a
 * thousand brackets must cost no more than a thousand letters.
 */

import { Lexer, Parser, Renderer, Tokenizer, getDefaults, type Tokens } from "marked";

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
