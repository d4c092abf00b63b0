// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Draft } from "../../src/chat/composer.js";

const ignore = (): void => undefined;
const open = (stream: string, changed: (text: string, before: string) => void = ignore): Draft =>
  new Draft("http://hub/", stream, changed);

/** The same change as another tab's, which the browser tells this one. */
function elsewhere(key: string, newValue: string | null): void {
  const event = new Event("storage");
  Object.assign(event, { key, newValue });
  globalThis.dispatchEvent(event);
}

beforeEach(() => {
  localStorage.clear();
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("a draft", () => {
  it("is there again, for its own conversation", () => {
    open("a").keep("hello");
    expect(open("a").text).toBe("hello");
    expect(open("b").text).toBe("");
  });

  it("is gone when it was sent", () => {
    const draft = open("a");
    draft.keep("hello");
    draft.keep("");
    expect(localStorage.length).toBe(0);
    draft.keep("again");
    draft.sent("another text");
    expect(open("a").text).toBe("again");
    draft.sent("again");
    expect(open("a").text).toBe("");
  });

  it("follows the other tabs until it is closed", () => {
    const changes: string[][] = [];
    const draft = open("a", (text, before) => changes.push([text, before]));
    draft.keep("mine");
    const key = localStorage.key(0) ?? "";
    elsewhere(key, JSON.stringify({ text: "theirs", at: 1 }));
    elsewhere("another key", JSON.stringify({ text: "other", at: 1 }));
    elsewhere(key, null);
    draft.close();
    elsewhere(key, JSON.stringify({ text: "late", at: 1 }));
    expect(changes).toEqual([
      ["theirs", "mine"],
      ["", "theirs"],
    ]);
  });

  it("is one of fifty at most, the oldest go", () => {
    let now = 1000;
    vi.spyOn(Date, "now").mockImplementation(() => (now += 1));
    for (let i = 0; i < 70; i++) open(`s${i}`).keep(`text ${i}`);
    expect(localStorage.length).toBe(50);
    expect(open("s19").text).toBe("");
    expect(open("s20").text).toBe("text 20");
  });

  it("has a limit", () => {
    open("a").keep("x".repeat(50_001));
    expect(localStorage.length).toBe(0);
  });

  it("takes no harm from what is not its own", () => {
    open("a").keep("x");
    const key = localStorage.key(0) ?? "";
    for (const held of ["{", "7", "null", '{"text":7}', "[]"]) {
      localStorage.setItem(key, held);
      expect(open("a").text).toBe("");
    }
  });

  it("works where storage does not", () => {
    const refuse = (): never => {
      throw new DOMException("no", "SecurityError");
    };
    vi.stubGlobal("localStorage", new Proxy({}, { get: refuse }));
    const draft = open("a");
    draft.keep("hello");
    expect(draft.text).toBe("hello");
    draft.keep("");
    draft.sent("x");
    expect(open("a").text).toBe("");
    vi.unstubAllGlobals();
  });
});
