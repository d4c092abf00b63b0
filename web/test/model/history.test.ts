import { describe, expect, it } from "vitest";

import { before, history, prompted } from "../../src/model/history.js";
import { reply, state, user } from "../support/turns.js";

describe("history", () => {
  it("is what an upstream is told: texts alone, and no empty ones", () => {
    const turns = [user("a"), reply({ text: "b", reasoning: "hidden" }), reply({ generation: "h" }), user("c")];
    expect(history(turns)).toEqual([
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "c" },
    ]);
  });

  it("before a reply ends with the message, without the tries that failed", () => {
    const failed = reply({ generation: "x", text: "half" });
    const last = reply({ generation: "y", text: "other half" });
    expect(before(state(user("a"), failed, last), last)).toEqual([{ role: "user", content: "a" }]);
  });

  it("finds the message that a reply answers", () => {
    const last = reply({ generation: "y" });
    expect(prompted(state(user("a"), reply({}), user("b"), reply({ generation: "x" }), last), last)?.text).toBe("b");
    expect(prompted(state(last), last)).toBeUndefined();
  });
});
