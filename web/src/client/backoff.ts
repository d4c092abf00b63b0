/**
 * When to try again: full jitter, so that all who were cut off at once do not come back at once.
 *
 * A wait is anywhere between nothing and a bound that doubles from 0.5 s to 30 s.
 */

const FIRST = 500;
const LONGEST = 30_000;

/** Milliseconds to wait after so many failures in a row, the first being 0. */
export function backoff(failures: number): number {
  return Math.round(Math.random() * Math.min(LONGEST, FIRST * 2 ** Math.min(failures, 16)));
}
