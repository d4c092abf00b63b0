import { describe, expect, it } from "vitest";

import { pretty } from "../../src/chat/pretty-json.js";

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
