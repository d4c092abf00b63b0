/** Reads positions, which are `EPOCH_OFFSET` with sixteen digits each. */

import type { Position } from "./events.js";

const EPOCH = 17;

/** The offset; that of "", which is before every record, is 0. */
export function offsetOf(position: Position): number {
  return Number(position.slice(EPOCH));
}

/** The position of another offset in the same epoch. */
export function at(position: Position, offset: number): Position {
  return position.slice(0, EPOCH) + String(offset).padStart(16, "0");
}

/** The first position. */
export const ZERO: Position = at(at("", 0) + "_", 0);
