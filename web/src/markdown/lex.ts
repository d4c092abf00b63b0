/**
 * Splits Markdown into blocks while it is still being written.
 *
 * A finished block never changes, whatever follows. So it is parsed once and on its own, and only
 * the block that is still open has to be parsed again when text is added. The splits depend only
 * on the text before them, and not on the pieces in which it arrived; so a streamed text and the
 * same text at once give the same blocks.
 *
 * The blocks are CommonMark's and GitHub's, found line by line as CommonMark describes it in "A
 * parsing strategy": each line first continues the open containers (quotations and list items),
 * then opens new blocks, and the rest is text. A block knows its containers, so code, tables and
 * paragraphs within them grow like any others. Differences: HTML is text; the rows of a table are
 * blocks of their own; an item is "tight" by itself; a formula in display style may contain lines
 * that look like blocks; and a paragraph longer than `LIMIT` is handed out in parts, so that no
 * text makes a frame expensive.
 */

import { cellsOf, DELIMITERS, type Alignment, alignments } from "./table.js";

export interface Quote {
  readonly kind: "quote";
  /** Unique among the containers of a text. */
  readonly id: number;
}

export interface Item {
  readonly kind: "item";
  readonly id: number;
  /** The same number for all items of one list. */
  readonly list: number;
  readonly isOrdered: boolean;
  /** The number that the item is written with; 1 for a bullet. */
  readonly start: number;
  /** The state of its checkbox, if it has one. */
  readonly task: "open" | "done" | undefined;
  /** The bullet, or the character after the number. */
  readonly mark: string;
  /** The columns by which its lines are indented. */
  readonly indent: number;
}

export type Container = Quote | Item;

export interface Block {
  /** The number of blocks before it. */
  readonly index: number;
  /** The containers around it, the outermost first. */
  readonly within: readonly Container[];
  /** `empty` is an item without content; a `row` belongs to the table before it. */
  readonly kind: "paragraph" | "heading" | "rule" | "code" | "table" | "row" | "empty";
  /** The text with its inline Markdown; the code; the cells of a table's head or of a row. */
  readonly source: string;
  /** The text after a fence's opening marks, usually the language. */
  readonly info: string;
  /** The level of a heading. */
  readonly level: number;
  /** Of a table and its rows. */
  readonly columns: readonly Alignment[];
  /** Whether a paragraph is only the first part of a long one, or a further part. */
  readonly part: "whole" | "first" | "next";
}

/** The most characters of a paragraph, or of one line outside code, that are parsed at once. */
export const LIMIT = 6_000;
/** Containers deeper than this are text. */
const DEEPEST = 16;

const FENCE = /^(`{3,}(?=[^`]*$)|~{3,})(.*)$/;
const HEADING = /^(#{1,6})(?:[ \t]+(.*))?$/;
const HEADING_END = /(?:^|[ \t]+)#+[ \t]*$/;
const UNDERLINE = /^(?:(=+)|-+)[ \t]*$/;
const RULE = /^(?:(?:-[ \t]*){3,}|(?:_[ \t]*){3,}|(?:\*[ \t]*){3,})$/;
const ITEM = /^(?:[-+*]|(\d{1,9})[.)])(?=[ \t]|$)/;
const TASK = /^\[([ xX])\](?=[ \t]+\S)/;

/** Where to split a line that is too long: at a space if possible, and never within a character. */
export function cutBefore(line: string, limit: number): number {
  const space = line.lastIndexOf(" ", limit);
  if (space > limit / 2) return space + 1;
  const unit = line.charCodeAt(limit - 1);
  return unit >= 0xd800 && unit <= 0xdbff ? limit - 1 : limit;
}

/** A line that is read from left to right. Tabs reach to the next multiple of four columns. */
class Line {
  private at = 0;
  private column = 0;
  /** The columns that are left of a tab that is partly read. */
  private spare = 0;

  constructor(readonly text: string) {}

  get rest(): string {
    return " ".repeat(this.spare) + this.text.slice(this.at);
  }

  get isBlank(): boolean {
    return !/[^ \t]/.test(this.text.slice(this.at));
  }

  /** The columns of white space that come next. */
  get indent(): number {
    let column = this.column + this.spare;
    for (let at = this.at; ; at += 1) {
      const width = widthAt(this.text, at, column);
      if (width === 0) return column - this.column;
      column += width;
    }
  }

  /** Skip at most this many columns of white space. */
  skip(columns: number): void {
    let left = columns;
    while (left > 0) {
      const width = this.spare > 0 ? this.spare : widthAt(this.text, this.at, this.column);
      if (width === 0) return;
      if (this.spare === 0) this.at += 1;
      const read = Math.min(width, left);
      this.column += read;
      this.spare = width - read;
      left -= read;
    }
  }

  /** Skip characters that are no white space. */
  take(count: number): void {
    this.at += count;
    this.column += count;
  }
}

function widthAt(text: string, at: number, column: number): number {
  const character = text.charAt(at);
  return character === " " ? 1 : character === "\t" ? 4 - (column % 4) : 0;
}

interface Paragraph {
  readonly kind: "paragraph";
  readonly text: string;
  readonly part: "whole" | "next";
}

interface Code {
  readonly kind: "code";
  readonly text: string;
  readonly info: string;
  /** Its opening marks; empty if the code is indented. */
  readonly fence: string;
  /** Columns to remove from its lines. */
  readonly indent: number;
  /** Empty lines that belong to it if more code follows. */
  readonly blank: string;
}

interface Table {
  readonly kind: "table";
  readonly columns: readonly Alignment[];
}

/** A formula in display style that is open at the end of a paragraph. */
interface Formula {
  readonly closing: string;
  /** The paragraph without the lines of the formula after the first. */
  readonly before: Paragraph;
  readonly lines: readonly string[];
}

export class Blocks {
  private within: readonly Container[] = [];
  private leaf: Paragraph | Code | Table | null = null;
  private formula: Formula | null = null;
  private isRepeating = false;
  /** The innermost item, as long as it has no content. */
  private emptyItem = -1;
  /** The item without content that an empty line ended: its list may go on. */
  private ended: Item | null = null;
  private containers = 0;
  private count = 0;
  private done: Block[] = [];
  /** The incomplete last line. */
  private partial = "";
  /** The incomplete line is the rest of one whose beginning is too long. */
  private isRest = false;

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
    if (this.partial !== "") this.endLine();
    if (this.formula !== null) this.giveUpFormula();
    this.closeTo(0);
    return this.taken();
  }

  /** The unfinished blocks, as if the text ended here, with `mend` applied to its last line. */
  tail(mend: (partial: string, fence: string) => string): Block[] {
    const copy = Object.assign(new Blocks(), this);
    copy.done = [];
    copy.partial = mend(this.partial, this.leaf?.kind === "code" ? this.leaf.fence : "");
    if (copy.partial !== "") copy.endLine();
    copy.formula = null;
    copy.guessTable();
    copy.closeTo(0);
    return copy.taken();
  }

  private taken(): Block[] {
    return this.done.splice(0);
  }

  /** Process a line, or the part of it that exists. In code lines may have any length. */
  private take(line: string, isWhole: boolean): void {
    this.partial = line;
    while (this.leaf?.kind !== "code" && this.partial.length > LIMIT) {
      const cut = cutBefore(this.partial, LIMIT);
      const rest = this.partial.slice(cut);
      this.partial = this.partial.slice(0, cut);
      this.endLine();
      if (this.formula !== null) this.giveUpFormula();
      [this.partial, this.isRest] = [rest, true];
    }
    if (isWhole) this.endLine();
  }

  private endLine(): void {
    const { partial } = this;
    this.partial = "";
    if (this.isRest) this.addRest(partial);
    else this.line(partial);
    this.isRest = false;
  }

  private line(text: string): void {
    const line = new Line(text);
    let depth = 0;
    for (const container of this.within) {
      if (!this.stays(container, line)) break;
      depth += 1;
    }
    const isInside = depth === this.within.length;
    if (this.formula !== null) {
      if (isInside && this.inFormula(line)) return;
      this.giveUpFormula();
      this.line(text);
    } else if (!isInside || this.leaf?.kind !== "code" || !this.inCode(line, this.leaf)) this.start(line, depth);
  }

  /** Whether the line belongs to the container, whose marks are skipped then. */
  private stays(container: Container, line: Line): boolean {
    if (container.kind === "quote") return this.quoteMark(line);
    if (line.isBlank) return container.id !== this.emptyItem;
    if (line.indent < container.indent) return false;
    line.skip(container.indent);
    return true;
  }

  private quoteMark(line: Line): boolean {
    const { indent } = line;
    if (indent > 3 || line.rest.charAt(indent) !== ">") return false;
    line.skip(indent);
    line.take(1);
    line.skip(1);
    return true;
  }

  private inCode(line: Line, code: Code): boolean {
    if (code.fence === "") return this.inIndented(line, code);
    const marks = line.rest.trim();
    const first = code.fence.charAt(0);
    if (line.indent < 4 && marks.length >= code.fence.length && marks === first.repeat(marks.length)) this.close();
    else {
      line.skip(code.indent);
      this.leaf = { ...code, text: `${code.text}${line.rest}\n` };
    }
    return true;
  }

  private inIndented(line: Line, code: Code): boolean {
    if (!line.isBlank && line.indent < 4) return false;
    const { isBlank } = line;
    line.skip(4);
    if (isBlank) this.leaf = { ...code, blank: `${code.blank}${line.rest}\n` };
    else this.leaf = { ...code, text: `${code.text}${code.blank}${line.rest}\n`, blank: "" };
    return true;
  }

  /** Open new blocks at the depth to which the line's containers go on; what remains is text. */
  private start(line: Line, depth: number): void {
    let at = depth;
    let isNew = false;
    while (!line.isBlank) {
      const paragraph = !isNew && this.leaf?.kind === "paragraph" ? this.leaf : null;
      if (line.indent >= 4) {
        if (paragraph !== null) break;
        this.closeTo(at);
        this.openCode(line, { kind: "code", text: "", info: "", fence: "", indent: 4, blank: "" });
        return;
      }
      if (this.leafBlock(line, at, isNew, paragraph)) return;
      if (at >= DEEPEST || !this.container(line, at, isNew, paragraph)) break;
      at += 1;
      isNew = true;
    }
    this.text(line, at, isNew);
  }

  /** Process the line if it is a heading, a rule, or the start of code. */
  private leafBlock(line: Line, at: number, isNew: boolean, paragraph: Paragraph | null): boolean {
    const text = line.rest.trimStart();
    const fence = FENCE.exec(text);
    if (fence !== null) {
      const [, marks = "", info = ""] = fence;
      const { indent } = line;
      this.closeTo(at);
      this.openCode(null, { kind: "code", text: "", info: info.trim(), fence: marks, indent, blank: "" });
      return true;
    }
    const heading = HEADING.exec(text);
    if (heading !== null) {
      this.closeTo(at);
      this.emit("heading", (heading[2] ?? "").replace(HEADING_END, "").trim(), { level: heading[1]?.length ?? 1 });
      return true;
    }
    const underline = UNDERLINE.exec(text);
    if (underline !== null && paragraph?.part === "whole" && !isNew && at === this.within.length) {
      this.leaf = null;
      this.emit("heading", paragraph.text.trim(), { level: underline[1] === undefined ? 2 : 1 });
      return true;
    }
    if (!RULE.test(text)) return false;
    this.closeTo(at);
    this.emit("rule", "");
    return true;
  }

  private openCode(line: Line | null, code: Code): void {
    this.filled();
    this.leaf = code;
    if (line !== null) this.inIndented(line, code);
  }

  /** Open a container, if the line begins one. */
  private container(line: Line, at: number, isNew: boolean, paragraph: Paragraph | null): boolean {
    if (line.rest.trimStart().startsWith(">")) {
      this.closeTo(at);
      this.quoteMark(line);
      this.filled();
      this.within = [...this.within, { kind: "quote", id: this.containers++ }];
      return true;
    }
    return this.item(line, at, isNew, paragraph);
  }

  private item(line: Line, at: number, isNew: boolean, paragraph: Paragraph | null): boolean {
    const { indent } = line;
    const found = ITEM.exec(line.rest.trimStart());
    if (found === null) return false;
    const [written, number] = found;
    const ahead = new Line(line.rest.trimStart().slice(written.length));
    // Only an item with content, and a bullet or the number 1, interrupts a paragraph.
    const interrupts = paragraph !== null && at === this.within.length;
    if (interrupts && (ahead.isBlank || (number !== undefined && number !== "1"))) return false;
    const sibling = isNew ? undefined : (this.within[at] ?? this.ended);
    const mark = written.slice(-1);
    this.closeTo(at);
    line.skip(indent);
    line.take(written.length);
    const gap = line.indent;
    const isEmpty = line.isBlank;
    const width = isEmpty || gap > 4 ? 1 : gap;
    line.skip(width);
    const isSame = sibling?.kind === "item" && sibling.mark === mark && sibling.isOrdered === (number !== undefined);
    const task = isEmpty ? null : TASK.exec(line.rest);
    if (task !== null) {
      line.take(task[0].length);
      line.skip(1);
    }
    this.filled();
    const id = this.containers++;
    this.within = [
      ...this.within,
      {
        kind: "item", id, mark,
        list: isSame ? sibling.list : id,
        isOrdered: number !== undefined,
        start: Number(number ?? 1),
        task: task === null ? undefined : task[1] === " " ? "open" : "done",
        indent: indent + written.length + width,
      },
    ];
    this.emptyItem = id;
    return true;
  }

  /** The open item, if there is one, has content. */
  private filled(): void {
    this.emptyItem = -1;
    this.ended = null;
  }

  private text(line: Line, at: number, isNew: boolean): void {
    const isInside = at === this.within.length;
    if (line.isBlank) {
      const { emptyItem } = this;
      const last = this.within.at(-1);
      if (!isInside) this.closeTo(at);
      else if (!isNew && this.leaf?.kind !== "code") this.close();
      if (!isInside && last?.kind === "item" && last.id === emptyItem) this.ended = last;
      return;
    }
    if (!isNew && this.leaf?.kind === "paragraph") this.addLine(line, this.leaf, isInside);
    else if (!isNew && isInside && this.leaf?.kind === "table") this.emit("row", line.rest, this.leaf);
    else {
      this.closeTo(at);
      this.filled();
      this.leaf = { kind: "paragraph", text: "", part: "whole" };
      this.addText(line.rest.trimStart(), this.leaf);
    }
  }

  /** Add a line to a paragraph. It may be the second one of a table. */
  private addLine(line: Line, paragraph: Paragraph, isInside: boolean): void {
    const text = line.rest.trimStart();
    const start = paragraph.text.lastIndexOf("\n") + 1;
    const head = paragraph.text.slice(start);
    if (isInside && head.includes("|") && DELIMITERS.test(text) && cellsOf(head).length === cellsOf(text).length) {
      this.leaf = start === 0 ? null : { ...paragraph, text: paragraph.text.slice(0, start) };
      this.close();
      this.openTable(head, alignments(text));
    } else this.addText(`\n${text}`, paragraph);
  }

  private openTable(head: string, columns: readonly Alignment[]): void {
    this.emit("table", head, { columns });
    this.leaf = { kind: "table", columns };
  }

  /** Add to a paragraph; if it is long, what it has is a part of its own. */
  private addText(text: string, paragraph: Paragraph): void {
    let open = paragraph;
    if (open.text !== "" && open.text.length + text.length > LIMIT) {
      this.emit("paragraph", open.text, { part: open.part === "whole" ? "first" : "next" });
      open = { kind: "paragraph", text: "", part: "next" };
    }
    open = { ...open, text: open.text + text };
    this.leaf = open;
    const closing = this.isRepeating ? null : openFormula(text);
    if (closing !== null) this.formula = { closing, before: open, lines: [] };
  }

  /** Add the rest of a line that is too long, which is text whatever it looks like. */
  private addRest(text: string): void {
    if (this.leaf?.kind === "paragraph") {
      const { text: before, part } = this.leaf;
      if (before !== "") this.emit("paragraph", before, { part: part === "whole" ? "first" : "next" });
      this.leaf = { kind: "paragraph", text, part: "next" };
    } else {
      this.close();
      this.leaf = { kind: "paragraph", text, part: "whole" };
    }
  }

  // Formulas in display style: `$$` or `\[` to the next `$$` or `\]`, without empty lines

  /** Add a line to the open formula; returns false if this cannot be one. */
  private inFormula(line: Line): boolean {
    const { formula, leaf } = this;
    if (formula === null || leaf?.kind !== "paragraph" || line.isBlank) return false;
    if (leaf.text.length + line.text.length > LIMIT) return false;
    this.leaf = { ...leaf, text: `${leaf.text}\n${line.rest}` };
    const end = line.rest.indexOf(formula.closing);
    if (end < 0) this.formula = { ...formula, lines: [...formula.lines, line.text] };
    else {
      const closing = openFormula(line.rest.slice(end + formula.closing.length));
      this.formula = closing === null ? null : { closing, before: this.leaf, lines: [] };
    }
    return true;
  }

  /** It is no formula: take its lines as those of any text. */
  private giveUpFormula(): void {
    const { formula } = this;
    if (formula === null) return;
    this.formula = null;
    this.leaf = formula.before;
    this.isRepeating = true;
    for (const line of formula.lines) this.line(line);
    this.isRepeating = false;
  }

  /** A growing paragraph that looks like the head of a table is shown as one. */
  private guessTable(): void {
    if (this.leaf?.kind !== "paragraph" || this.leaf.part !== "whole") return;
    const lines = this.leaf.text.split("\n");
    if (lines.length > 1 && /^\|[ \t:|-]*$/.test(lines.at(-1) ?? "") && lines.at(-2)?.startsWith("|")) lines.pop();
    const head = lines.pop() ?? "";
    if (!head.startsWith("|")) return;
    this.leaf = lines.length === 0 ? null : { ...this.leaf, text: lines.join("\n") };
    this.close();
    this.openTable(head, cellsOf(head).map(() => undefined));
  }

  // Closing

  /** Close the open block, and all containers but so many. */
  private closeTo(depth: number): void {
    this.close();
    if (depth === this.within.length) return;
    if (this.emptyItem >= 0) this.emit("empty", "");
    this.within = this.within.slice(0, depth);
  }

  private close(): void {
    const { leaf } = this;
    this.leaf = null;
    if (leaf?.kind === "code") this.emit("code", leaf.text, { info: leaf.info });
    else if (leaf?.kind === "paragraph") this.emit("paragraph", leaf.text.trimEnd(), { part: leaf.part });
  }

  private emit(kind: Block["kind"], source: string, more: Partial<Pick<Block, "info" | "level" | "columns" | "part">> = {}): void {
    this.filled();
    const { info = "", level = 0, columns = [], part = "whole" } = more;
    this.done.push({ index: this.count, within: this.within, kind, source, info, level, columns, part });
    this.count += 1;
  }
}

/** The marks that close the formula in display style that a line leaves open. */
function openFormula(line: string): string | null {
  let closing: string | null = null;
  for (const [found] of line.matchAll(/\\[^]|\$\$/g)) {
    if (found === closing) closing = null;
    else if (closing === null && found === "$$") closing = "$$";
    else if (closing === null && found === "\\[") closing = "\\]";
  }
  return closing;
}
