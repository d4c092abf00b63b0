/** Frames that come when a test says so. */

import { vi } from "vitest";

export interface Frames {
  /** Run what waits for a frame; returns how much that was. */
  frame(): number;
  /** Run frames until nothing waits for one. */
  settle(): void;
  /** How much waits for a frame. */
  readonly waiting: number;
}

/** Replace the frames of the browser, until `vi.unstubAllGlobals()`. */
export function frames(): Frames {
  let waiting: FrameRequestCallback[] = [];
  vi.stubGlobal("requestAnimationFrame", (frame: FrameRequestCallback) => waiting.push(frame));
  vi.stubGlobal("cancelAnimationFrame", () => (waiting = []));
  const frame = (): number => {
    const due = waiting.splice(0);
    for (const run of due) run(0);
    return due.length;
  };
  const settle = (): void => {
    for (let left = 5_000; left > 0 && frame() > 0; left -= 1);
  };
  return {
    frame, settle,
    get waiting() {
      return waiting.length;
    },
  };
}
