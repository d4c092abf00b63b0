/**
 * Completes unfinished Markdown, so that it is shown as what it will probably become.
 *
 * A growing text may end anywhere: in a marker, in a link, in a row of a table. Shown literally, it
 * would flash as stars and brackets and then jump. So markers without a meaning yet are held back,
 * and open ones are closed. This only affects what is shown while the text grows; a wrong guess is
 * gone with the next frame.
 */

import { formulaAt } from "./formula.js";

const LINE_OF_MARKS =
  /^[ \t>]*(?:[-+*|]|\d{1,3}[.)]?|#{1,6}|`{1,2}|~{1,2}|=+|-{2,}|_{1,3}|\*{2,3}|[-+*][ \t]+\[[ xX]?\]?|\[[^\]]{1,80}\]:[^\n]*)?[ \t]*$/;
const HALF_TAG = /<\/?(?:[a-z]{0,6}[ \t]*\/?)$/i;
/** How many characters back open markers are searched. */
const REACH = 2_000;
const LONGEST_LABEL = 200;
/** With more open markers than this, they will probably not be closed. */
const MOST_OPEN = 6;

/** The incomplete last line without markers that have no meaning yet. */
export function mendLine(line: string, fence: string): string {
  if (fence !== "") {
    const marks = line.replace(/^[ \t>]+/, "").trimEnd();
    return marks !== "" && marks === fence.charAt(0).repeat(marks.length) ? "" : line;
  }
  return LINE_OF_MARKS.test(line) ? "" : line.replace(HALF_TAG, "");
}

/** The text of the last block with its open markers closed, and where what is written ends. */
export function mendBlock(source: string): { text: string; end: number } {
  const written = source.trimEnd();
  const from = Math.max(0, written.length - REACH);
  const mended = mendInline(written.slice(from));
  let same = 0;
  while (same < mended.length && mended.charAt(same) === written.charAt(from + same)) same += 1;
  return { text: written.slice(0, from) + mended, end: from + same };
}

/** Close the markers that are open at the end of a text. */
export function mendInline(text: string): string {
  const open: string[] = [];
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    const formula = character === "\\" || character === "$" ? formulaAt(text, at, text.length) : null;
    if (formula !== null) at = formula.end;
    else if (character === "\\") {
      if (at + 1 === text.length) return closed(text.slice(0, at), open);
      at += 2;
    } else if (character === "`") {
      const run = runAt(text, at);
      const end = text.indexOf(run, at + run.length);
      if (end < 0) return closed(closeCode(text, at, run), open);
      at = end + run.length;
    } else if ("*_~".includes(character)) {
      const run = runAt(text, at);
      if (at + run.length === text.length) return closed(text.slice(0, at), open);
      mark(text, at, run, open);
      at += run.length;
    } else if (character === "[") {
      const link = linkAt(text, at);
      if (link.mended !== null) return closed(link.mended, open);
      at = link.end;
    } else at += 1;
  }
  return closed(text, open);
}

function runAt(text: string, at: number): string {
  let end = at + 1;
  while (text.charAt(end) === text.charAt(at)) end += 1;
  return text.slice(at, end);
}

function closeCode(text: string, at: number, run: string): string {
  const inner = text.slice(at + run.length).replace(/`+$/, "");
  return inner.trim() === "" ? text.slice(0, at) : text.slice(0, at) + run + inner + run;
}

function mark(text: string, at: number, run: string, open: string[]): void {
  const before = text.charAt(at - 1);
  const after = text.charAt(at + run.length);
  const known = open.lastIndexOf(run);
  if (known >= 0 && before.trim() !== "") open.length = known;
  else if (run.length <= 3 && after.trim() !== "" && (!run.startsWith("~") || run.length === 2) && !(run.startsWith("_") && /\w/.test(before))) {
    open.push(run);
  }
}

/** A link that starts here: its end or, if it is incomplete, the text with the link completed. */
function linkAt(text: string, at: number): { end: number; mended: string | null } {
  const isImage = text.charAt(at - 1) === "!";
  const before = text.slice(0, isImage ? at - 1 : at);
  const bracket = text.indexOf("]", at);
  if (bracket < 0) {
    const label = text.slice(at + 1);
    if (label.length > LONGEST_LABEL) return { end: text.length, mended: null };
    return { end: at, mended: isImage ? before : before + mendInline(label) };
  }
  const isLast = bracket + 1 === text.length;
  const isOpen = text.charAt(bracket + 1) === "(" && !text.includes(")", bracket);
  if (!isLast && !isOpen) return { end: bracket + 1, mended: null };
  return { end: at, mended: isImage ? before : `${before}${text.slice(at, bracket + 1)}()` };
}

function closed(text: string, open: readonly string[]): string {
  return open.length === 0 || open.length > MOST_OPEN ? text : text.trimEnd() + open.toReversed().join("");
}
