import { expect, test } from "vitest";

import { type ChatMessage, EMPTY, type State } from "../../src/model/conversation.js";
import { documentTitle, shortened, titleOf } from "../../src/model/title.js";

const at = (offset: number): string => `${"0".repeat(16)}_${String(offset).padStart(16, "0")}`;

const said = (offset: number, text: string, role: ChatMessage["role"] = "user"): ChatMessage => ({
  kind: "message",
  role,
  text,
  before: at(offset),
});

const state = (turns: ChatMessage[], branches: State["branches"] = []): State => ({ ...EMPTY, turns, all: turns, branches });

test("the title is what the user said first", () => {
  expect(titleOf(state([said(0, "Be kind.", "system"), said(1, "Hello"), said(2, "Again")]))).toBe("Hello");
});

test("without a user it is what anybody said first, and before that there is none", () => {
  expect(titleOf(state([said(0, "Note", "system")]))).toBe("Note");
  expect(titleOf(EMPTY)).toBeUndefined();
  expect(titleOf(state([said(0, " \n ")]))).toBeUndefined();
});

test("a fork is called by what was said after it left its source", () => {
  const from = { type: "branch", from: "a", position: at(5) } as const;
  const to = { type: "branch", to: "b", position: at(0) } as const;
  expect(titleOf(state([said(0, "Old"), said(6, "New")], [to, from]))).toBe("New");
  expect(titleOf(state([said(0, "Old")], [from]))).toBe("Old");
});

test("a title is one line", () => {
  expect(shortened("  one\n\ttwo\u0000three\u202egnp.exe ")).toBe("one two three gnp.exe");
});

test("a long title is cut between words, or where it must", () => {
  const words = shortened("word ".repeat(50));
  expect(words).toMatch(/^(word )+word…$/);
  expect(words.length).toBeLessThanOrEqual(60);
  expect(shortened("x".repeat(61))).toBe(`${"x".repeat(59)}…`);
  expect(shortened("x".repeat(60))).toBe("x".repeat(60));
});

test("a cut leaves characters of several code points whole", () => {
  const family = "👨‍👩‍👧‍👦";
  expect(shortened(family.repeat(61))).toBe(`${family.repeat(59)}…`);
});

test("a million characters cost no more than a line of them", () => {
  expect(shortened("长".repeat(1_000_000))).toBe(`${"长".repeat(59)}…`);
});

test("the tab says whether something runs", () => {
  expect(documentTitle("Poem", true)).toBe("● Poem – Streamhub");
  expect(documentTitle("Poem", false)).toBe("Poem – Streamhub");
});
