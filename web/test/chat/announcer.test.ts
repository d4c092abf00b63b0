// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { Announcer, spoken } from "../../src/chat/announcer.js";
import { reply, state, user } from "../support/turns.js";

describe("announcer", () => {
  const told = (): [Announcer, string[]] => {
    const said: string[] = [];
    return [new Announcer((text) => said.push(text)), said];
  };

  it("tells each finished paragraph once, without its marks", () => {
    const [announcer, said] = told();
    const text = "# Title\n\nSome **bold** [link](http://x).\n\nThe rest";
    for (let end = 0; end <= text.length; end++) announcer.update(state(reply({ text: text.slice(0, end) })));
    announcer.update(state(reply({ text, state: "finished" })));
    announcer.update(state(reply({ text, state: "finished" })));
    expect(said).toEqual(["Answering.", "Title", "Some bold link.", "The rest", "The answer is complete."]);
  });

  it("is silent about history", () => {
    const [announcer, said] = told();
    announcer.update(state(user("a"), reply({ text: "old", state: "finished" })));
    expect(said).toEqual([]);
    announcer.forget();
    announcer.update(state(user("a"), reply({ generation: "h", text: "older\n\nhalf" })));
    announcer.update(state(user("a"), reply({ generation: "h", text: "older\n\nhalf and all", state: "finished" })));
    expect(said).toEqual(["Answering.", "and all", "The answer is complete."]);
  });

  it("tells a reply that came whole between two looks", () => {
    const [announcer, said] = told();
    announcer.update(state(user("a")));
    const error = { code: "x", message: "refused" };
    announcer.update(state(user("a"), reply({ text: "Half a word", state: "failed", error })));
    expect(said).toEqual(["Half a word", "Refused."]);
  });

  it("says how it ended", () => {
    const [announcer, said] = told();
    announcer.update(state(reply({})));
    announcer.update(state(reply({ state: "cancelled" })));
    expect(said).toEqual(["Answering.", "Stopped."]);
  });

  it("looks at no more of a paragraph without end than it can say", () => {
    const [announcer, said] = told();
    announcer.update(state(reply({})));
    announcer.update(state(reply({ text: "[".repeat(300_000), state: "finished" })));
    expect(said).toEqual(["Answering.", `${"[".repeat(600)} …`, "The answer is complete."]);
  });

  it("reads no fences", () => {
    expect(spoken("```js\nlet a\n```")).toBe("let a");
  });
});
