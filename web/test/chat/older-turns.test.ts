import { describe, expect, it } from "vitest";

import { begin, older } from "../../src/chat/older-turns.js";
import { user } from "../support/turns.js";

describe("older", () => {
  it("begins with the newest and reaches the first", () => {
    const turns = Array.from({ length: 500 }, (_, i) => user(`${i}`));
    let from = begin(turns, 0, 0);
    expect(from).toBeGreaterThan(450);
    for (let steps = 0; from > 0; steps++) {
      expect(steps).toBeLessThan(100);
      from = older(turns, from);
    }
  });

  it("takes a huge turn alone, and never none", () => {
    const turns = [user("a"), user("x".repeat(100_000)), user("b")];
    expect(older(turns, 3)).toBe(1);
    expect(older(turns, 1)).toBe(0);
  });

  it("stays where it is when one more turn comes, and begins anew for a history", () => {
    const turns = Array.from({ length: 100 }, (_, i) => user(`${i}`));
    expect(begin(turns, 3, 99)).toBe(3);
    expect(begin(turns, 0, 5)).toBe(90);
    // As after a reset, or on a shorter branch: some are always there to see.
    expect(begin(turns.slice(0, 2), 3, 4)).toBe(0);
  });
});
