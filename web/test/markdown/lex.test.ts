import { expect, test } from "vitest";

import { type Block, Blocks, LIMIT } from "../../src/markdown/lex.js";

function cut(text: string, ...cuts: number[]): Block[] {
  const blocks = new Blocks();
  const found: Block[] = [];
  let from = 0;
  for (const to of [...cuts, text.length]) {
    found.push(...blocks.feed(text.slice(from, to)));
    from = to;
  }
  return [...found, ...blocks.finish()];
}

const sources = (text: string): string[] => cut(text).map((block) => `${block.kind}:${block.source}`);

test("paragraphs end with an empty line, headings with their own", () => {
  expect(sources("# a\nb\nc\n\n\nd")).toEqual(["flow:# a\n", "flow:b\nc\n", "flow:d\n"]);
});

test("a fence holds what looks like other blocks, and ends with its own marks", () => {
  expect(cut("a\n````py x\n# b\n\n```\n- c\n````\nd")).toMatchObject([
    { kind: "flow", source: "a\n" },
    { kind: "fence", info: "py x", source: "# b\n\n```\n- c\n" },
    { kind: "flow", source: "d\n" },
  ]);
});

test("items are blocks and join the list before; another mark begins another list", () => {
  const found = cut("- a\n  b\n\n  c\n- d\n* e\n\nf\n1. g\n2. h");
  expect(found.map(({ kind, joins, source }) => [kind, joins, source])).toEqual([
    ["item", false, "- a\n  b\n\n  c\n"],
    ["item", true, "- d\n"],
    ["item", false, "* e\n\n"],
    ["flow", false, "f\n"],
    ["item", false, "1. g\n"],
    ["item", true, "2. h\n"],
  ]);
});

test("a line without indentation goes on with an item's paragraph, but not behind an empty line", () => {
  expect(sources("- a\nb\n\nc")).toEqual(["item:- a\nb\n\n", "flow:c\n"]);
});

test("indented code goes on over empty lines", () => {
  expect(sources("    a\n\n    b\nc")).toEqual(["flow:    a\n\n    b\n", "flow:c\n"]);
});

test("a rule is no item", () => {
  expect(sources("- a\n- - -\n* * *")).toEqual(["item:- a\n", "flow:- - -\n* * *\n"]);
});

test("no block but a fence is much longer than the limit, whatever the text is", () => {
  for (const text of ["word ".repeat(9_000), "x".repeat(50_000), "> q\n".repeat(9_000), "- a\n" + "  b\n".repeat(9_000)]) {
    const found = cut(text);
    expect(found.length).toBeGreaterThan(5);
    for (const block of found) expect(block.source.length).toBeLessThanOrEqual(LIMIT + 1);
    expect(found.map((block) => block.source).join("").replace(/\s/g, "")).toBe(text.replace(/\s/g, ""));
  }
  expect(cut("```\n" + "x\n".repeat(50_000))).toHaveLength(1);
});

test("a table that is cut has its head in each part; a head of its own size has not", () => {
  const head = "| a | b |\n|---|---|\n";
  const parts = cut(head + "| 1 | 2 |\n".repeat(2_000));
  expect(parts.length).toBeGreaterThan(2);
  for (const part of parts) expect(part.source.startsWith(head)).toBe(true);
  const wide = "|a".repeat(800) + "|\n" + "|-".repeat(800) + "|\n";
  const total = cut(wide + "|1|\n".repeat(3_000)).reduce((sum, part) => sum + part.source.length, 0);
  expect(total).toBeLessThan(2 * (wide.length + 12_000));
});

test("no character is cut in half", () => {
  for (const block of cut("😀".repeat(9_000))) expect(block.source).not.toMatch(/\p{Surrogate}/u);
});

test("the blocks are the same, whatever the pieces are", () => {
  const marks = ["- ", "* ", "1. ", "> ", "```\n", "~~~", "\n", "\n\n", "    ", "\t", "# ", "---\n", "|a|b|\n|-|-|\n", "word ", "x".repeat(4_000)];
  let random = 7;
  const next = (below: number): number => (random = (random * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 300; round += 1) {
    const text = Array.from({ length: next(40) }, () => marks[next(marks.length)]).join("");
    const cuts = Array.from({ length: next(12) }, () => next(text.length + 1)).sort((a, b) => a - b);
    expect(cut(text, ...cuts)).toEqual(cut(text));
  }
});

test("the tail is what the text would be if it ended here, and changes nothing", () => {
  const blocks = new Blocks();
  blocks.feed("- a\n- b");
  const tail = blocks.tail((line) => line);
  expect(tail.map((block) => block.source)).toEqual(["- a\n", "- b\n"]);
  expect(blocks.tail((line) => line)).toEqual(tail);
  expect(blocks.feed("\n- c").map((block) => block.source)).toEqual(["- a\n"]);
});
