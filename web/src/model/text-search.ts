/** Finds words in a text, ignoring case and accents, and shows where. */

export interface Excerpt {
  readonly before: string;
  readonly match: string;
  readonly after: string;
}

/** How many characters stand around what was found. */
const BEFORE = 30;
const AFTER = 90;

/** A text as it is compared. */
export const plain = (text: string): string => text.normalize("NFKD").replace(/\p{M}/gu, "").toUpperCase();

/** The words of a query, each of which must be found. */
export const wordsOf = (query: string): readonly string[] => plain(query).split(/\s+/).filter(Boolean);

/** A line of a text that contains every word, around the first of them; `undefined` if it does not. */
export function excerptOf(text: string, words: readonly string[]): Excerpt | undefined {
  const [first] = words;
  const whole = plain(text);
  if (first === undefined || !words.every((word) => whole.includes(word))) return undefined;
  const [begin, end] = placeOf(first, text);
  const from = Math.max(0, text.lastIndexOf(" ", begin - BEFORE) + 1, begin - 2 * BEFORE);
  return {
    before: (from > 0 ? "…" : "") + line(text.slice(from, begin)),
    match: line(text.slice(begin, end)),
    after: line(text.slice(end, end + AFTER)),
  };
}

/** Where a plain word stands in a text that contains it. */
function placeOf(word: string, text: string): readonly [begin: number, end: number] {
  for (const { 0: piece, index } of text.matchAll(/\S+/g)) {
    const at = plain(piece).indexOf(word);
    if (at !== -1) return [index + placeIn(piece, at), index + placeIn(piece, at + word.length)];
  }
  return [0, 0];
}

/** The place in a text for one in the text as it is compared. */
function placeIn(text: string, compared: number): number {
  let place = 0;
  for (const character of text) {
    const { length } = plain(character);
    // What is left out when texts are compared belongs to the character before.
    if (compared <= 0 && length > 0) break;
    compared -= length;
    place += character.length;
  }
  return place;
}

/** One line, without half characters at its ends and without what changes the direction of others. */
const line = (text: string): string =>
  text
    .replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, "")
    .replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069\s]+/gu, " ");
