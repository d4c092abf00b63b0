// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { answeredBy, ending, guess, silence, stats } from "../../src/chat/assistant-message.js";
import { reply } from "../support/turns.js";

describe("stats", () => {
  it("come from the hub when the reply is over", () => {
    const over = reply({ state: "finished", usage: { completion_tokens: 250 }, seconds: { first: 0.31, total: 5.31 } });
    expect(stats(over)).toEqual(["250 tokens", "0.31 s to the first word", "50 tokens/s"]);
  });

  it("say so when they are guessed", () => {
    const over = reply({ state: "cancelled", usage: { completion_tokens: 1, estimated: true } });
    expect(stats(over)).toEqual(["≈ 1 token"]);
    expect(stats(reply({ text: "x".repeat(400) }), { at: 1000, tokens: 20 }, 3000)).toEqual(["≈ 100 tokens", "≈ 40 tokens/s"]);
    expect(guess("你好")).toBe(2);
  });

  it("divide by nothing nowhere", () => {
    expect(stats(reply({ state: "finished", text: "hello", seconds: { first: 1, total: 1 } }))).toEqual([
      "≈ 2 tokens",
      "1.0 s to the first word",
    ]);
    expect(stats(reply({ state: "waiting" }))).toEqual([]);
  });

  it("claim no more than can be measured", () => {
    const firsts = [0, 0.004, 0.006, 0.1].map((first) => stats(reply({ state: "finished", seconds: { first, total: first } })).at(-1));
    expect(firsts).toEqual(["< 0.01", "< 0.01", "0.01", "0.10"].map((held) => `${held} s to the first word`));
  });

  it("name who answers once", () => {
    expect(answeredBy(reply({ model: "demo" }))).toBe("demo");
    expect(answeredBy(reply({ model: "llama" }))).toBe("demo · llama");
  });
});

describe("ending", () => {
  it("says each way to end in plain words", () => {
    expect(ending(reply({ state: "cancelled" }))?.text).toBe("Stopped.");
    expect(ending(reply({ state: "interrupted" }))?.text).toMatch(/hub stopped/);
    const error = { code: "upstream_stalled", message: "nothing came for 60 s" };
    expect(ending(reply({ state: "failed", error }))).toEqual({
      kind: "error",
      text: "Nothing came for 60 s.",
      code: "upstream_stalled",
    });
    expect(ending(reply({ state: "finished", reason: "stop", text: "x" }))).toBeUndefined();
    expect(ending(reply({ state: "finished", reason: "stop" }))?.text).toMatch(/empty/);
    expect(ending(reply({ state: "running" }))).toBeUndefined();
  });

  it("breaks a long silence, and tells a retry at once", () => {
    const waiting = reply({ state: "waiting" });
    expect(silence(waiting, 9_999, true)).toBeUndefined();
    expect(silence(waiting, 12_400, true)).toMatch(/first word, 12 s/);
    expect(silence(reply({}), 180_000, true)).toMatch(/3 minutes/);
    expect(silence(waiting, 0, false)).toMatch(/Not connected/);
  });

  it("counts down to the next try", () => {
    const retrying = reply({ retrying: { message: "busy", after: 2.2 } });
    const told = [0, 300, 1_300, 2_300].map((since) => silence(retrying, since, true));
    expect(told).toEqual(["Busy. Trying again in 3 s.", "Busy. Trying again in 2 s.", "Busy. Trying again in 1 s.", "Busy. Trying again."]);
  });
});
