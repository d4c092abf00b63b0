/**
 * Splits Markdown into blocks while it is still being written.
 *
 * A finished block never changes, whatever follows. So it is parsed once and on its own, and only
 * the text after the last finished block has to be parsed again when text is added. The splits
 * depend only on the text before them, and not on the pieces in which it arrived; so a streamed
 * text and the same text at once give the same blocks.
 *
 * This reads lines instead of parsing Markdown: just enough to know where a paragraph, a fence or a
 * list item has certainly ended. List items are blocks of their own, so that a long list is not
 * parsed as a whole; they join the list before. No block except a fence is longer than `LIMIT`.
 * Longer ones are split, so that no text makes a frame expensive.
 */

export interface Block {
  /** The number of blocks before it. */
  readonly index: number;
  readonly kind: "flow" | "item" | "fence";
  /** Its Markdown, or the code of a fence. */
  readonly source: string;
  /** The text after a fence's opening marker, usually the language. */
  readonly info: string;
  /** It is an item of the same list as the block before. */
  readonly joins: boolean;
}

/** The most characters of a block and of a line. */
export const LIMIT = 6_000;
/** The longest table header that is repeated when the table is split. */
const LONGEST_HEAD = 1_000;

const BLANK = /^[ \t]*$/;
const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})(.*)$/;
const HEADING = /^ {0,3}#{1,6}(?:[ \t]|$)/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:_[ \t]*){3,}|(?:\*[ \t]*){3,})$/;
const ITEM = /^( {0,3})([-+*]|\d{1,9}[.)])(?=[ \t]|$)([ \t]*)(.*)$/;
/** Only an item that is not empty, with a bullet or the number 1, interrupts a paragraph. */
const INTERRUPTING = /^ {0,3}(?:[-+*]|1[.)])[ \t]+\S/;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** The columns of white space at the start of a line. */
function indentation(line: string): number {
  let columns = 0;
  for (const character of line) {
    if (character === " ") columns += 1;
    else if (character === "\t") columns += 4 - (columns % 4);
    else break;
  }
  return columns;
}

/** Where to split a line that is too long: at a space if possible, and never within a character. */
export function cutBefore(line: string, limit: number): number {
  const space = line.lastIndexOf(" ", limit);
  if (space > limit / 2) return space + 1;
  const unit = line.charCodeAt(limit - 1);
  return unit >= 0xd800 && unit <= 0xdbff ? limit - 1 : limit;
}

type Open = "none" | "flow" | "indented" | "item" | "fence";

export class Blocks {
  private open: Open = "none";
  private source = "";
  private info = "";
  private joins = false;
  /** The marker of a fence, or the kind of list of an item. */
  private mark = "";
  /** Columns to remove: the indentation of a fence, or of an item's text. */
  private indent = 0;
  private blankBefore = false;
  private lastLine = "";
  /** The first two lines of the open table, to repeat after a split. */
  private table = "";
  private count = 0;
  private done: Block[] = [];
  /** The incomplete last line. */
  private partial = "";

  /** Add text with "\n" line ends; returns the blocks that are finished. */
  feed(text: string): Block[] {
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      this.take(this.partial + text.slice(from, end), true);
      from = end + 1;
    }
    this.take(this.partial + text.slice(from), false);
    return this.taken();
  }

  /** End the text; returns the remaining blocks. */
  finish(): Block[] {
    if (this.partial !== "") this.line(this.partial);
    this.partial = "";
    this.close();
    return this.taken();
  }

  /** The unfinished blocks, as if the text ended here, with `mend` applied to its last line. */
  tail(mend: (partial: string, fence: string) => string): Block[] {
    const copy = Object.assign(new Blocks(), this);
    copy.done = [];
    copy.partial = mend(this.partial, this.open === "fence" ? this.mark : "");
    return copy.finish();
  }

  private taken(): Block[] {
    return this.done.splice(0);
  }

  /** Process a line, or the part of it that exists. In fences lines may have any length. */
  private take(line: string, whole: boolean): void {
    let rest = line;
    while (this.open !== "fence" && rest.length > LIMIT) {
      const cut = cutBefore(rest, LIMIT);
      this.line(rest.slice(0, cut));
      this.close();
      rest = rest.slice(cut);
    }
    if (whole) this.line(rest);
    this.partial = whole ? "" : rest;
  }

  private line(line: string): void {
    if (this.open === "fence") this.inFence(line);
    else if (BLANK.test(line)) this.blank();
    else if (this.goesOn(line)) this.add(line);
    else if (!this.nextItem(line)) {
      this.close();
      this.begin(line);
    }
  }

  private inFence(line: string): void {
    const marks = line.trim();
    const closing =
      marks.length >= this.mark.length &&
      marks === this.mark.charAt(0).repeat(marks.length) &&
      indentation(line) < 4;
    if (closing) this.close();
    else this.source += line.slice(Math.min(this.indent, indentation(line))) + "\n";
  }

  private blank(): void {
    if (this.open === "flow") this.close();
    if (this.open === "none") return;
    this.blankBefore = true;
    this.add("");
  }

  /** Whether the line continues the open block. */
  private goesOn(line: string): boolean {
    if (this.open === "flow") return !this.interrupts(line) && (RULE.test(line) || !INTERRUPTING.test(line));
    if (this.open === "indented") return indentation(line) >= 4;
    return this.open === "item" && this.itemGoesOn(line);
  }

  private interrupts(line: string): boolean {
    return FENCE.test(line) || HEADING.test(line);
  }

  private itemGoesOn(line: string): boolean {
    if (indentation(line) >= this.indent) return true;
    if (this.blankBefore || this.interrupts(line)) return false;
    return !RULE.test(line) && !ITEM.test(line);
  }

  /** Start the next item of the same list, if the line begins one. */
  private nextItem(line: string): boolean {
    const item = this.open === "item" && !RULE.test(line) ? ITEM.exec(line) : null;
    if (item === null || item[2]?.slice(-1) !== this.mark) return false;
    this.close();
    this.beginItem(item, line, true);
    return true;
  }

  private begin(line: string): void {
    const fence = FENCE.exec(line);
    if (fence !== null) {
      this.open = "fence";
      [this.indent, this.mark] = [fence[1]?.length ?? 0, fence[2] ?? ""];
      this.info = (fence[3] ?? "").trim();
      return;
    }
    const item = RULE.test(line) ? null : ITEM.exec(line);
    if (item !== null) {
      this.beginItem(item, line, false);
      return;
    }
    this.open = indentation(line) >= 4 ? "indented" : "flow";
    this.add(line);
    if (HEADING.test(line)) this.close();
  }

  private beginItem(item: RegExpExecArray, line: string, joins: boolean): void {
    const [, lead = "", mark = "", gap = "", text = ""] = item;
    const spaces = text === "" || gap.length > 4 ? 1 : indentation(gap + "x");
    this.open = "item";
    this.joins = joins;
    this.mark = mark.slice(-1);
    this.indent = lead.length + mark.length + spaces;
    this.add(line);
  }

  private add(line: string): void {
    if (this.source !== "" && this.source.length + line.length > LIMIT) {
      this.goOnWith(this.table, line);
      return;
    }
    if (this.open === "flow" && DELIMITERS.test(line) && this.lastLine.includes("|")) {
      const head = `${this.lastLine}\n${line}\n`;
      this.table = head.length <= LONGEST_HEAD ? head : "";
    }
    if (line !== "") this.blankBefore = false;
    this.lastLine = line;
    this.source += line + "\n";
  }

  /** Split a block that is too long before this line; the text of an item loses its indentation. */
  private goOnWith(table: string, line: string): void {
    this.close();
    this.open = "flow";
    this.table = table;
    this.source = table + line.trimStart() + "\n";
  }

  private close(): void {
    const kind = this.open === "indented" ? "flow" : this.open;
    if (kind === "none") return;
    const { source, info, joins } = this;
    this.done.push({ index: this.count, kind, source, info, joins });
    this.count += 1;
    this.open = "none";
    this.source = this.info = this.mark = this.lastLine = this.table = "";
    this.joins = this.blankBefore = false;
  }
}
