import { describe, expect, it } from "vitest";

import { EMPTY, type Reply, type Said, type State } from "../../src/client/state.js";
import { Announcer, spoken } from "../../src/elements/chat/announcer.js";
import { complaint, gone } from "../../src/elements/chat/complaint.js";
import { ending, silence } from "../../src/elements/chat/ending.js";
import { before, history, prompted } from "../../src/elements/chat/history.js";
import { begin, older } from "../../src/elements/chat/older.js";
import { company } from "../../src/elements/chat/presence.js";
import { pretty } from "../../src/elements/chat/pretty.js";
import { answered, guess, stats } from "../../src/elements/chat/stats.js";
import { HubError } from "../../src/client/hub.js";

const REPLY: Reply = {
  kind: "reply",
  before: "p",
  generation: "g",
  upstream: "demo",
  text: "",
  reasoning: "",
  tools: [],
  refusal: false,
  state: "running",
};
const reply = (more: Partial<Reply>): Reply => ({ ...REPLY, ...more });
const user = (text: string): Said => ({ kind: "message", role: "user", text, before: text });
const state = (...turns: (Said | Reply)[]): State => ({ ...EMPTY, turns });

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

describe("pretty", () => {
  it("lays out what JSON.stringify would", () => {
    const held = { a: [1, { b: '"}],{[' }, [], {}], c: "\\", d: null };
    expect(pretty(JSON.stringify(held))).toBe(JSON.stringify(held, null, 2));
  });

  it("takes every beginning, and only ever adds white space", () => {
    const text = JSON.stringify({ a: [1, { b: 'x"y' }], c: {} });
    for (let end = 0; end <= text.length; end++) {
      const cut = text.slice(0, end);
      expect(pretty(cut).replace(/\s/g, "")).toBe(cut);
    }
  });

  it("leaves alone what is no JSON, or too much of it", () => {
    expect(pretty("ls -la, please: now")).toBe("ls -la, please: now");
    const much = `[${"1,".repeat(20_000)}1]`;
    expect(pretty(much)).toBe(much);
  });
});

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
    expect(answered(reply({ model: "demo" }))).toBe("demo");
    expect(answered(reply({ model: "llama" }))).toBe("demo · llama");
  });
});

describe("ending", () => {
  it("says each way to end in plain words", () => {
    expect(ending(reply({ state: "cancelled" }))?.text).toBe("Stopped.");
    expect(ending(reply({ state: "interrupted" }))?.text).toMatch(/hub went away/);
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

describe("complaint", () => {
  it("says what to do and that nothing is lost", () => {
    expect(complaint(new HubError("unreachable", "x", 0), "Your text is kept").text).toMatch(/cannot be reached. Your text is kept/);
    expect(complaint(new HubError("busy", "too many", 429))).toEqual({ text: "Too many. Try again in a moment.", code: "busy" });
    expect(complaint(new HubError("stream_deleted", "it was deleted")).text).toMatch(/^It was deleted\./);
    expect(complaint(new HubError("bad", "too long", 413))).toEqual({ text: "Too long.", code: "bad" });
    expect(complaint("?")).toEqual({ text: "Something went wrong. Try again in a moment." });
  });

  it("knows an error by its fields, from whatever bundle", () => {
    expect(gone(Object.assign(new Error("x"), { status: 404 }))).toBe(true);
    expect(gone(new HubError("stream_deleted", "x", 409))).toBe(true);
    expect(gone(new Error("x"))).toBe(false);
  });
});

describe("company", () => {
  const other = (state: unknown) => ({ member: "m", state, self: false });
  const me = { member: "me", state: { typing: true }, self: true };

  it("counts the others and not oneself", () => {
    expect(company([me])).toBe("");
    expect(company([me, other({})])).toBe("1 other is here");
    expect(company([me, other(null), other("?")])).toBe("2 others are here");
  });

  it("tells who types, whatever else they say of themselves", () => {
    expect(company([me, other({ typing: true }), other({})])).toBe("Somebody is typing…");
    expect(company([other({ typing: true, name: "Ada" })])).toBe("Ada is typing…");
    expect(company([other({ typing: "yes", name: 7 })])).toBe("1 other is here");
    expect(company([other({ typing: true }), other({ typing: true })])).toBe("2 others are typing…");
  });
});

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
    expect(begin(turns.slice(0, 2), 3, 4)).toBe(2);
  });
});

describe("announcer", () => {
  const told = (): [Announcer, string[]] => {
    const said: string[] = [];
    return [new Announcer((text) => said.push(text)), said];
  };

  it("tells each finished paragraph once, without its marks", () => {
    const [announcer, said] = told();
    const text = "# Title\n\nSome **bold** [link](http://x).\n\nThe rest";
    for (let end = 0; end <= text.length; end++) announcer.heard(state(reply({ text: text.slice(0, end) })));
    announcer.heard(state(reply({ text, state: "finished" })));
    announcer.heard(state(reply({ text, state: "finished" })));
    expect(said).toEqual(["Answering.", "Title", "Some bold link.", "The rest", "The answer is complete."]);
  });

  it("is silent about history", () => {
    const [announcer, said] = told();
    announcer.heard(state(user("a"), reply({ text: "old", state: "finished" })));
    expect(said).toEqual([]);
    announcer.forget();
    announcer.heard(state(user("a"), reply({ generation: "h", text: "older\n\nhalf" })));
    announcer.heard(state(user("a"), reply({ generation: "h", text: "older\n\nhalf and all", state: "finished" })));
    expect(said).toEqual(["Answering.", "and all", "The answer is complete."]);
  });

  it("tells a reply that came whole between two looks", () => {
    const [announcer, said] = told();
    announcer.heard(state(user("a")));
    const error = { code: "x", message: "refused" };
    announcer.heard(state(user("a"), reply({ text: "Half a word", state: "failed", error })));
    expect(said).toEqual(["Half a word", "Refused."]);
  });

  it("says how it ended", () => {
    const [announcer, said] = told();
    announcer.heard(state(reply({})));
    announcer.heard(state(reply({ state: "cancelled" })));
    expect(said).toEqual(["Answering.", "Stopped."]);
  });

  it("looks at no more of a paragraph without end than it can say", () => {
    const [announcer, said] = told();
    announcer.heard(state(reply({})));
    announcer.heard(state(reply({ text: "[".repeat(300_000), state: "finished" })));
    expect(said).toEqual(["Answering.", `${"[".repeat(600)} …`, "The answer is complete."]);
  });

  it("reads no fences", () => {
    expect(spoken("```js\nlet a\n```")).toBe("let a");
  });
});
