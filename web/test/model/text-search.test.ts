import { expect, test } from "vitest";

import { excerptOf, wordsOf } from "../../src/model/text-search.js";

const found = (text: string, query: string): string | undefined => {
  const excerpt = excerptOf(text, wordsOf(query));
  return excerpt && `${excerpt.before}[${excerpt.match}]${excerpt.after}`;
};

test.each([
  ["A river has banks.", "RIVER", "A [river] has banks."],
  ["Un café au lait", "cafe lait", "Un [café] au lait"],
  ["Cafe\u0301s", "café", "[Cafe\u0301]s"],
  ["Der große Fluss", "gross", "Der [groß]e Fluss"],
  ["你好，今天怎么样？", "今天", "你好，[今天]怎么样？"],
  ["one\n\n  two\tthree", "two", "one [two] three"],
  ["a \u202egnp.exe b", "b", "a gnp.exe [b]"],
])("%j is found with %j", (text, query, expected) => {
  expect(found(text, query)).toBe(expected);
});

test("every word must be there, and there must be one", () => {
  expect(found("A river has banks.", "river bank")).toBeDefined();
  expect(found("A river has banks.", "river sea")).toBeUndefined();
  expect(found("A river has banks.", "  ")).toBeUndefined();
});

test("what stands around it is short and has no half characters", () => {
  const excerpt = excerptOf(`${"😀".repeat(5000)}needle${"😀".repeat(5000)}`, wordsOf("needle"));
  expect(excerpt?.match).toBe("needle");
  for (const part of [excerpt?.before, excerpt?.after]) {
    expect(part?.length).toBeLessThan(100);
    expect(part).not.toMatch(/\p{Surrogate}/u);
  }
});
