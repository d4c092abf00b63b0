/**
 * Finds formulas in text: `$…$` and `\(…\)` within a line, `$$…$$` and `\[…\]` in display style.
 *
 * A dollar is money far more often than a formula, and `\(` or `\[` may be a parenthesis that
 * somebody escaped. So a formula within a line has no white space inside its dollars and no letter
 * or digit outside them, and it does not begin like "5 apples".
 */

export interface Formula {
  /** Where it ends; the end of the text if it is open. */
  readonly end: number;
  readonly isDisplay: boolean;
  /** Its closing marks are missing, because the text is still growing. */
  readonly isOpen: boolean;
}

/** What closes a formula, by what opens it; a single dollar is looked for within `LONGEST` only. */
export const CLOSINGS: Readonly<Partial<Record<string, string>>> = { "$$": "$$", "\\(": "\\)", "\\[": "\\]" };

/** The longest formula within a line. */
const LONGEST = 1_000;
/** A letter or digit of a script that has spaces between words. */
const LETTER = /(?![\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef])[\p{L}\p{N}]/u;
/** An amount of money and then words: "5 apples", "3/month", "5 或". */
const MONEY = /^[\d.,]+(?:[ \t]*[-–—/]?[ \t]*(?:[a-z]{2}|[\u3000-\uffff])|[ \t]*$)/i;
/** What makes an open formula one before it ends. */
const MATHEMATICAL = /[\\^_={}]/;
/** Escaped brackets around words, not around a formula. */
const WORDS = /^[^\\^_=+*<>{}|/\d]*[\p{L}]{4}[^\\^_=+*<>{}|/\d]*$/u;
const REFERENCE = /^[\w\s.,-]{0,40}$/;

/**
 * The formula that begins at this dollar or backslash, or null. If the text is still growing,
 * `written` is where what is written ends; a formula may be open there.
 */
export function formulaAt(text: string, at: number, written?: number): Formula | null {
  const next = text.charAt(at + 1);
  if (text.charAt(at) === "$") return next === "$" ? dollars(text, at, written) : dollar(text, at, written);
  if (next === "(") return brackets(text, at, "\\)", written);
  return next === "[" ? brackets(text, at, "\\]", written) : null;
}

function dollars(text: string, at: number, written?: number): Formula | null {
  const end = text.indexOf("$$", at + 2);
  if (end < 0) return open(written, at, true);
  if (text.slice(at + 2, end).trim() === "") return null;
  return { end: end + 2, isDisplay: true, isOpen: false };
}

function dollar(text: string, at: number, written?: number): Formula | null {
  if (LETTER.test(text.charAt(at - 1)) || !/\S/.test(text.charAt(at + 1))) return null;
  const limit = Math.min(text.length, at + LONGEST);
  for (let i = at + 1; i < limit; i += 1) {
    const character = text.charAt(i);
    if (character === "\\") i += 1;
    else if (character === "\n" && text.charAt(i + 1) === "\n") return null;
    else if (character === "$") {
      const isClosing = /\S/.test(text.charAt(i - 1)) && !LETTER.test(text.charAt(i + 1)) && text.charAt(i + 1) !== "$";
      if (!isClosing || MONEY.test(text.slice(at + 1, i))) return null;
      return { end: i + 1, isDisplay: false, isOpen: false };
    }
  }
  const inner = text.slice(at + 1, written);
  return limit === text.length && MATHEMATICAL.test(inner) && !MONEY.test(inner) ? open(written, at, false) : null;
}

function brackets(text: string, at: number, closing: string, written?: number): Formula | null {
  const end = text.indexOf(closing, at + 2);
  const isDisplay = closing === "\\]";
  if (end < 0) return open(written, at, isDisplay);
  const inner = text.slice(at + 2, end);
  if (inner.trim() === "" || WORDS.test(inner) || text.charAt(end + 2) === "(") return null;
  const isAlone = /(?:^|\n)[ \t]*$/.test(text.slice(0, at)) && /^[ \t.,;]*(?:\n|$)/.test(text.slice(end + 2));
  if (isDisplay && !isAlone && REFERENCE.test(inner)) return null;
  return { end: end + 2, isDisplay, isOpen: false };
}

function open(written: number | undefined, at: number, isDisplay: boolean): Formula | null {
  return written === undefined || written <= at ? null : { end: written, isDisplay, isOpen: true };
}
