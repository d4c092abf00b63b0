/**
 * How much of a long conversation is rendered so far.
 *
 * The newest turns are rendered at once, and older ones above them when the browser is idle, a few
 * at a time, so that a conversation of hundreds of turns never blocks the page.
 */

import type { State } from "../model/conversation.js";

type Turns = State["turns"];

const TURNS = 10;
const LETTERS = 12_000;

/** The first turn to render before `end`: a few turns or characters further up, at least one. */
export function older(turns: Turns, end: number): number {
  let letters = 0;
  let from = end;
  while (from > 0 && end - from < TURNS && letters < LETTERS) {
    from -= 1;
    letters += turns[from]?.text.length ?? 0;
  }
  return from;
}

/**
 * The first turn to render when there are others; starts over if a whole history arrived at once.
 * Another branch may be shorter.
 */
export function begin(turns: Turns, from: number, had: number): number {
  if (had === 0 || turns.length - had > TURNS) return older(turns, turns.length);
  return Math.min(from, older(turns, turns.length));
}

/** Call `work` when the browser is idle; returns a function that cancels it. */
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
