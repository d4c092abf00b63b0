/**
 * When to reconnect: with full jitter, so that clients that lost their connection together do not
 * return together. A wait is between zero and a bound that doubles from 0.5 s to 30 s.
 */

const FIRST = 500;
const LONGEST = 30_000;

/** Milliseconds to wait; `failures` counts the failures in a row before the last one. */
export function backoff(failures: number): number {
  return Math.round(Math.random() * Math.min(LONGEST, FIRST * 2 ** Math.min(failures, 16)));
}
