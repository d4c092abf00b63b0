/**
 * How much of a long conversation is shown so far.
 *
 * The newest turns are shown at once and older ones above them in idle moments, a few at a
 * time, so that a conversation of hundreds of turns never holds the page up.
 */

import type { State } from "../model/conversation.js";

type Turns = State["turns"];

const TURNS = 10;
const LETTERS = 12_000;

/** Begin `few` turns, or so many letters, before `end`; always at least one. */
export function older(turns: Turns, end: number): number {
  let letters = 0;
  let from = end;
  while (from > 0 && end - from < TURNS && letters < LETTERS) {
    from -= 1;
    letters += turns[from]?.text.length ?? 0;
  }
  return from;
}

/** Where to begin after more has come: a whole history that came at once is begun anew. */
export function begin(turns: Turns, from: number, had: number): number {
  if (had === 0 || turns.length - had > TURNS) return older(turns, turns.length);
  return Math.min(from, turns.length);
}

/** When the browser has nothing better to do; gives what calls it off. */
export function idle(work: () => void): () => void {
  if (typeof requestIdleCallback === "function") {
    const id = requestIdleCallback(work, { timeout: 200 });
    return () => {
      cancelIdleCallback(id);
    };
  }
  const id = setTimeout(work, 30);
  return () => {
    clearTimeout(id);
  };
}
