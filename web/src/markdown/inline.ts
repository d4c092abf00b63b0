/**
 * Turns the Markdown within a paragraph into markup.
 *
 * It is CommonMark's, found as described there: one walk over the text, a stack of brackets for
 * links, and a list of the runs of `*`, `_` and `~` that open or close emphasis. What differs is what
 * models write:
 *
 * - Each end of a line is one, so a poem stays a poem.
 * - Beside Chinese, Japanese and Korean, which have no spaces, punctuation does not keep `**` from
 *   opening or closing.
 * - Only `~~` strikes out; a single `~` is one.
 * - Addresses become links, up to the first character of those scripts.
 * - Formulas (formula.ts) are kept as they are written, in `<code class="math-…">`.
 * - HTML is text, except for a few tags without attributes that only format words.
 * - Images become links (`rel="image"`), so that nothing is loaded unless the user wants it.
 *
 * Nothing is left out but the marks themselves. The work is proportional to the text, and the depth
 * of the result is bounded.
 */

import { CLOSINGS, formulaAt } from "./formula.js";

export interface Definition {
  readonly href: string;
}

/** The link reference definitions of a text so far, and the references that found none. */
export interface References {
  readonly known: Map<string, Definition>;
  readonly missed: Set<string>;
}

/** Emphasis deeper than this shows its marks. */
const DEEPEST = 16;
/** A block with more markers than this is not prose, so its stars and tags are shown as text. */
const MOST_MARKS = 400;
/** The most definitions of one text; more are shown as text. */
const MOST_REFERENCES = 300;
/** The most references of one text that wait for a definition. */
const MOST_MISSED = 300;

const TAG = /<\/?(?:br|b|i|u|s|em|strong|del|ins|mark|sub|sup|kbd)[ \t]*\/?>/iy;
const ENTITY = /&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,31});/y;
const ENTITIES = new RegExp(`${ENTITY.source}|&`, "g");
const POINTED = /<((?:https?:\/\/|mailto:)[^\s<>]*|[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8})>/iy;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const ESCAPED = /\\([!-/:-@[-`{-~])/g;
const TICKS = /`+/y;
const RUN = /\*+|_+|~+/y;
/** Ends an address: white space, `<`, quotes, brackets, and scripts without spaces. */
const ADDRESS =
  /(?:https?:\/\/(?=[\w[])|www\.(?=[\w-]+\.))(?:(?![\u1100-\u11ff\u2018-\u201f\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef])[^\s<>"`\\[\]|]){1,2000}/iy;
const MAIL = /(?<![\w.+-])[\w.+-]{1,64}@[a-z\d-]{1,63}(?:\.[a-z\d-]{1,63}){1,8}(?![\w-])/gi;
const ENTITY_AT_END = /&[a-z\d]{1,31};$/i;
const LONGEST_ENTITY = 33;
const DESTINATION = /[ \t]*\n?[ \t]*(?:<((?:\\.|[^\n<>\\]){0,2000})>|(?!<)((?:\\[!-/:-@[-`{-~]|[^\s\\()]|\\(?![!-/:-@[-`{-~])|\((?:\\.|[^\s\\()]|\((?:\\.|[^\s\\()])*\))*\)){0,2000}))/y;
const TITLE = /[ \t\n]+(?:"(?:\\[^]|[^"\\]){0,1000}"|'(?:\\[^]|[^'\\]){0,1000}'|\((?:\\[^]|[^()\\]){0,1000}\))/y;
const CLOSING = /[ \t\n]*\)/y;
const LABEL = /\[((?:\\[^]|[^[\]\\]){0,999})\]/y;
const DEFINITION =
  /^[ \t]*\[((?:\\[^]|[^[\]\\]){1,999})\]:[ \t]*\n?[ \t]*(?:<((?:\\.|[^\n<>\\])*)>|([^\s<]\S*))(?:(?:[ \t]+|[ \t]*\n[ \t]*)(?:"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'|\((?:\\[^]|[^()\\])*\)))?[ \t]*(?:\n|$)/;

const PUNCTUATION = /[\p{P}\p{S}]/u;
const CJK = /[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\u{1f200}-\u{1f2ff}\u{20000}-\u{3ffff}]/u;

export function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** A run of `*`, `_` or `~`, with what it turned out to open and close. */
interface Run {
  readonly kind: "run";
  readonly mark: string;
  /** Its length at first. */
  readonly length: number;
  readonly opens: boolean;
  readonly closes: boolean;
  /** Its place among the runs. */
  readonly order: number;
  /** The marks that are left. */
  count: number;
  readonly closing: string[];
  readonly opening: string[];
}

type Piece =
  | Run
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "markup"; readonly markup: string; readonly text: string }
  /** A link without its own text, which is no link within another. */
  | { readonly kind: "link"; readonly href: string; readonly text: string; readonly isImage: boolean };

interface Bracket {
  /** The index of its piece. */
  readonly piece: number;
  /** Where the text after it begins. */
  readonly start: number;
  readonly isImage: boolean;
  /** The number of runs before it. */
  readonly runs: number;
  isActive: boolean;
}

/**
 * The markup of a text; this records the references that it misses. `end` is where what is written
 * ends, if more may come.
 */
export function inline(text: string, references: References, end?: number): string {
  return new Inline(text, references, end).markup();
}

class Inline {
  private readonly pieces: Piece[] = [];
  private readonly brackets: Bracket[] = [];
  private runs: Run[] = [];
  private at = 0;
  private readonly hasRuns: boolean;
  private readonly hasTags: boolean;
  /** The positions of the runs of backticks, by their length. */
  private readonly ticks = new Map<number, number[]>();
  /** Marks of formulas that nothing closes from here on, which is not looked for again. */
  private readonly unclosed = new Set<string>();

  constructor(
    private readonly source: string,
    private readonly references: References,
    private readonly end: number | undefined,
  ) {
    this.hasRuns = isAtMost(source, /\*+|_+|~+/g);
    this.hasTags = isAtMost(source, /</g);
    for (const { 0: run, index } of source.matchAll(/`+/g)) {
      const found = this.ticks.get(run.length);
      if (found === undefined) this.ticks.set(run.length, [index]);
      else found.push(index);
    }
  }

  markup(): string {
    const { source } = this;
    while (this.at < source.length) this.step(source.charAt(this.at));
    this.emphasize(0);
    return written(this.pieces);
  }

  private step(character: string): void {
    switch (character) {
      case "\\": this.backslash(); break;
      case "`": this.code(); break;
      case "$": if (!this.formula()) this.text("$"); break;
      case "*": case "_": case "~": this.run(); break;
      case "[": this.bracket(false); break;
      case "!":
        if (this.source.charAt(this.at + 1) === "[") this.bracket(true);
        else this.text("!");
        break;
      case "]": this.closeBracket(); break;
      case "<": this.pointed(); break;
      case "&": this.entity(); break;
      case "\n": this.lineEnd(); break;
      default: this.words();
    }
  }

  private text(text: string, length = text.length): void {
    this.pieces.push({ kind: "text", text });
    this.at += length;
  }

  /** Up to the next character with a meaning. */
  private words(): void {
    const { source } = this;
    const from = this.at;
    for (; this.at < source.length; this.at += 1) {
      const character = source.charAt(this.at);
      if ("\\`$*_~[]!<&\n".includes(character)) break;
      if ("hHwW".includes(character) && !/\w/.test(source.charAt(this.at - 1)) && this.address(from)) return;
    }
    if (this.at > from) this.pieces.push({ kind: "text", text: source.slice(from, this.at) });
  }

  /** An address that stands alone is a link; the words before it, from `from`, are text. */
  private address(from: number): boolean {
    ADDRESS.lastIndex = this.at;
    const found = withoutEnd(ADDRESS.exec(this.source)?.[0] ?? "");
    if (found.length < 7) return false;
    if (this.at > from) this.pieces.push({ kind: "text", text: this.source.slice(from, this.at) });
    const href = /^www/i.test(found) ? `http://${found}` : found;
    this.pieces.push({ kind: "link", href, text: found, isImage: false });
    this.at += found.length;
    return true;
  }

  private backslash(): void {
    if (this.formula()) return;
    const next = this.source.charAt(this.at + 1);
    if (next === "\n") {
      this.at += 1;
      this.lineEnd();
    } else if (ESCAPABLE.test(next)) this.text(next, 2);
    else this.text("\\");
  }

  private formula(): boolean {
    const mark = this.source.slice(this.at, this.at + 2);
    if (this.unclosed.has(mark)) return false;
    const found = formulaAt(this.source, this.at, this.end);
    if (found === null) {
      const closing = CLOSINGS[mark];
      if (closing !== undefined && !this.source.includes(closing, this.at + 2)) this.unclosed.add(mark);
      return false;
    }
    const text = this.source.slice(this.at, found.end);
    const name = found.isOpen ? "open" : found.isDisplay ? "display" : "inline";
    this.pieces.push({ kind: "markup", markup: `<code class="math-${name}">${escape(text)}</code>`, text });
    this.at = found.end;
    return true;
  }

  private code(): void {
    const { source, at } = this;
    TICKS.lastIndex = at;
    const length = TICKS.exec(source)?.[0].length ?? 1;
    const from = at + length;
    const same = this.ticks.get(length) ?? [];
    // Those before are never asked for again.
    while (same.length > 0 && (same[0] ?? 0) < from) same.shift();
    const [end] = same;
    if (end === undefined) {
      this.text("`".repeat(length));
      return;
    }
    const inner = source.slice(from, end).replaceAll("\n", " ");
    const text = /^ .*[^ ].* $/.test(inner) ? inner.slice(1, -1) : inner;
    this.pieces.push({ kind: "markup", markup: `<code>${escape(text)}</code>`, text });
    this.at = end + length;
  }

  private run(): void {
    const { source, at } = this;
    RUN.lastIndex = at;
    const found = RUN.exec(source)?.[0] ?? "";
    const mark = found.charAt(0);
    if (!this.hasRuns || (mark === "~" && found.length !== 2)) {
      this.text(found);
      return;
    }
    const before = characterBefore(source, at);
    const after = characterAt(source, at + found.length);
    const [left, right] = [flanks(before, after), flanks(after, before)];
    const isWord = mark === "_";
    const run: Run = {
      kind: "run", mark, length: found.length, count: found.length, closing: [], opening: [],
      order: this.runs.length,
      opens: left && (!isWord || !right || PUNCTUATION.test(before)),
      closes: right && (!isWord || !left || PUNCTUATION.test(after)),
    };
    this.pieces.push(run);
    this.runs.push(run);
    this.at += found.length;
  }

  private bracket(isImage: boolean): void {
    const mark = isImage ? "![" : "[";
    const start = this.at + mark.length;
    this.brackets.push({ piece: this.pieces.length, start, isImage, runs: this.runs.length, isActive: true });
    this.text(mark);
  }

  private closeBracket(): void {
    const opening = this.brackets.pop();
    const href = opening?.isActive === true ? this.target(opening) : null;
    if (opening === undefined || href === null) {
      this.text("]");
      return;
    }
    this.emphasize(opening.runs);
    const inner = this.pieces.splice(opening.piece).slice(1);
    if (opening.isImage) {
      this.pieces.push({ kind: "link", href, text: inner.map(plain).join(""), isImage: true });
      return;
    }
    this.pieces.push({ kind: "markup", markup: `<a href="${attribute(href)}">`, text: "" });
    for (const piece of inner) this.pieces.push(piece.kind === "link" ? { kind: "text", text: piece.text } : piece);
    this.pieces.push({ kind: "markup", markup: "</a>", text: "" });
    // There is no link within a link.
    for (const before of this.brackets) if (!before.isImage) before.isActive = false;
  }

  /** Where the link that ends here leads, or null if it is none; moves behind it. */
  private target(opening: Bracket): string | null {
    const { source, at } = this;
    const written = this.destination(at + 1);
    if (written !== null) return written;
    LABEL.lastIndex = at + 1;
    const label = LABEL.exec(source);
    const name = label === null || label[1] === "" ? source.slice(opening.start, at) : (label[1] ?? "");
    const found = this.lookUp(name);
    if (found !== null) this.at = at + 1 + (label?.[0].length ?? 0);
    return found;
  }

  private destination(at: number): string | null {
    const { source } = this;
    if (source.charAt(at) !== "(") return null;
    DESTINATION.lastIndex = at + 1;
    const found = DESTINATION.exec(source);
    if (found === null) return null;
    const end = DESTINATION.lastIndex;
    TITLE.lastIndex = end;
    CLOSING.lastIndex = TITLE.test(source) ? TITLE.lastIndex : end;
    if (!CLOSING.test(source)) return null;
    this.at = CLOSING.lastIndex;
    return unescaped(found[1] ?? found[2] ?? "");
  }

  private lookUp(written: string): string | null {
    if (written.length > 999 || written.trim() === "") return null;
    const label = normalized(written);
    const known = this.references.known.get(label);
    if (known !== undefined) return known.href;
    if (this.references.missed.size < MOST_MISSED) this.references.missed.add(label);
    return null;
  }

  private pointed(): void {
    TAG.lastIndex = POINTED.lastIndex = this.at;
    const address = POINTED.exec(this.source);
    const tag = this.hasTags ? TAG.exec(this.source)?.[0] : undefined;
    if (address !== null) {
      const text = address[1] ?? "";
      const href = /^(?:https?|mailto):/i.test(text) ? text : `mailto:${text}`;
      this.pieces.push({ kind: "link", href, text, isImage: false });
      this.at += address[0].length;
    } else if (tag !== undefined) {
      const markup = tag.replace(/[ \t]*\/?>$/, ">").toLowerCase();
      this.pieces.push({ kind: "markup", markup, text: "" });
      this.at += tag.length;
    } else this.text("<");
  }

  private entity(): void {
    ENTITY.lastIndex = this.at;
    const found = ENTITY.exec(this.source)?.[0];
    if (found === undefined) this.text("&");
    else {
      this.pieces.push({ kind: "markup", markup: found, text: found });
      this.at += found.length;
    }
  }

  private lineEnd(): void {
    const last = this.pieces.at(-1);
    if (last?.kind === "text") this.pieces[this.pieces.length - 1] = { kind: "text", text: last.text.replace(/[ \t]+$/, "") };
    this.pieces.push({ kind: "markup", markup: "<br>", text: "\n" });
    this.at += 1;
    while (" \t".includes(this.source.charAt(this.at) || ".")) this.at += 1;
  }

  /** Match the runs from this one on; those that are left are text. */
  private emphasize(from: number): void {
    const { runs } = this;
    /** Up to this place nothing opens what a run of a kind closes. */
    const bottoms = new Map<string, number>();
    const open: Run[] = [];
    for (const run of runs.slice(from)) {
      if (run.closes) this.close(run, open, bottoms);
      if (run.opens && run.count > 0) open.push(run);
    }
    this.runs = runs.slice(0, from);
  }

  private close(closer: Run, open: Run[], bottoms: Map<string, number>): void {
    const key = `${closer.mark}${closer.opens ? 1 : 0}${closer.length % 3}`;
    const bottom = bottoms.get(key) ?? -1;
    while (closer.count > 0) {
      const at = open.findLastIndex((run) => run.order <= bottom || matches(run, closer));
      const opener = open[at];
      if (opener === undefined || opener.order <= bottom) {
        bottoms.set(key, closer.order - 1);
        return;
      }
      const count = closer.mark === "~" || (opener.count > 1 && closer.count > 1) ? 2 : 1;
      const tag = closer.mark === "~" ? "del" : count === 2 ? "strong" : "em";
      opener.opening.unshift(tag);
      closer.closing.push(tag);
      opener.count -= count;
      closer.count -= count;
      open.length = opener.count > 0 ? at + 1 : at;
    }
  }
}

function isAtMost(source: string, mark: RegExp): boolean {
  let count = 0;
  while (count <= MOST_MARKS && mark.exec(source) !== null) count += 1;
  return count <= MOST_MARKS;
}

function characterBefore(text: string, at: number): string {
  const unit = text.charCodeAt(at - 1);
  return unit >= 0xdc00 && unit <= 0xdfff ? text.slice(at - 2, at) : text.charAt(at - 1);
}

function characterAt(text: string, at: number): string {
  const point = text.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}

/** Whether a run with `outside` on one side belongs to the word at its other side. */
function flanks(outside: string, word: string): boolean {
  if (word.trim() === "") return false;
  if (!PUNCTUATION.test(word) || CJK.test(word)) return true;
  return outside.trim() === "" || PUNCTUATION.test(outside) || CJK.test(outside);
}

function matches(opener: Run, closer: Run): boolean {
  if (opener.mark !== closer.mark) return false;
  const isEither = opener.closes || closer.opens;
  return !isEither || closer.mark === "~" || (opener.length + closer.length) % 3 !== 0 || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

/** An address without the punctuation of the sentence that it stands in. */
function withoutEnd(address: string): string {
  let end = address.length;
  /** How many parentheses it closes more than it opens. */
  let unopened = count(address, ")") - count(address, "(");
  for (; end > 0; end -= 1) {
    const last = address.charAt(end - 1);
    const entity = last === ";" ? ENTITY_AT_END.exec(address.slice(Math.max(0, end - LONGEST_ENTITY), end)) : null;
    if (entity !== null) end -= entity[0].length - 1;
    else if (last === ")" && unopened > 0) unopened -= 1;
    else if (!"?!.,:;*_~'…".includes(last)) break;
  }
  return address.slice(0, end);
}

function count(text: string, character: string): number {
  let found = 0;
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) found += 1;
  return found;
}

function plain(piece: Piece): string {
  return piece.kind === "run" ? piece.mark.repeat(piece.count) : piece.text;
}

function unescaped(text: string): string {
  return text.replace(ESCAPED, "$1");
}

/** Escape an attribute, in which entities keep their meaning. */
function attribute(text: string): string {
  return text
    .replace(ENTITIES, (found) => (found === "&" ? "&amp;" : found))
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

function normalized(label: string): string {
  return label.trim().replace(/\s+/g, " ").toLowerCase();
}

function written(pieces: readonly Piece[]): string {
  let markup = "";
  let text = "";
  let isInLink = false;
  const open: boolean[] = [];
  const flush = (): void => {
    markup += isInLink ? escape(text) : withMail(text);
    text = "";
  };
  for (const piece of pieces) {
    if (piece.kind === "text") text += piece.text;
    else if (piece.kind === "run") {
      for (const tag of piece.closing) {
        if (open.pop() === true) {
          flush();
          markup += `</${tag}>`;
        } else text += marks(tag, piece.mark);
      }
      text += piece.mark.repeat(piece.count);
      for (const tag of piece.opening) {
        const isShallow = open.length < DEEPEST;
        open.push(isShallow);
        if (isShallow) {
          flush();
          markup += `<${tag}>`;
        } else text += marks(tag, piece.mark);
      }
    } else {
      flush();
      if (piece.kind === "link") markup += alone(piece.href, piece.text, piece.isImage);
      else markup += piece.markup;
      if (piece.kind === "markup" && piece.text === "") isInLink = piece.markup.startsWith("<a ") || (isInLink && piece.markup !== "</a>");
    }
  }
  flush();
  return markup;
}

function marks(tag: string, mark: string): string {
  return mark.repeat(tag === "em" ? 1 : 2);
}

function alone(href: string, text: string, isImage: boolean): string {
  return `<a${isImage ? ' rel="image"' : ""} href="${attribute(href)}">${escape(text)}</a>`;
}

function withMail(text: string): string {
  let markup = "";
  let from = 0;
  if (text.includes("@")) {
    for (const { 0: found, index } of text.matchAll(MAIL)) {
      markup += escape(text.slice(from, index)) + alone(`mailto:${found}`, found, false);
      from = index + found.length;
    }
  }
  return markup + escape(text.slice(from));
}

/** A paragraph without the link reference definitions at its beginning, which are added to the others. */
export function withoutDefinitions(text: string, { known }: References): string {
  let rest = text;
  for (let found = DEFINITION.exec(rest); found !== null; found = DEFINITION.exec(rest)) {
    const [all, label = "", pointed, bare = ""] = found;
    if (label.startsWith("^") || label.trim() === "" || known.size >= MOST_REFERENCES) break;
    if (!known.has(normalized(label))) known.set(normalized(label), { href: unescaped(pointed ?? bare) });
    rest = rest.slice(all.length);
  }
  return rest;
}
