import { expect, test } from "vitest";

import { type Block, Blocks, type Container, LIMIT } from "../../src/markdown/lex.js";
import { Chance } from "../support/random.js";

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

const path = (within: readonly Container[]): string =>
  within.map((one) => (one.kind === "quote" ? ">" : `${one.isOrdered ? one.start : one.mark}@${one.list}`)).join(" ");
const outline = (text: string): string[] =>
  cut(text).map(({ within, kind, source }) => `${path(within)} ${kind}:${source}`.trimStart());

test("paragraphs end with an empty line, headings with their own", () => {
  expect(outline("# a #\nb\nc\n\n\nd\n===\ne\n---\n")).toEqual(
    ["heading:a", "paragraph:b\nc", "heading:d", "heading:e"],
  );
  expect(cut("# a\nb\n===\nc\n---").map(({ level }) => level)).toEqual([1, 1, 2]);
});

test("a fence holds what looks like other blocks, and ends with its own marks", () => {
  expect(cut("a\n````py x\n# b\n\n```\n- c\n````\nd")).toMatchObject([
    { kind: "paragraph", source: "a" },
    { kind: "code", info: "py x", source: "# b\n\n```\n- c\n" },
    { kind: "paragraph", source: "d" },
  ]);
});

test("blocks know their containers, and items their list", () => {
  expect(outline("- a\n  b\n\n  c\n- d\n* e\n\nf\n1. g\n2. h\n3) i")).toEqual([
    "-@0 paragraph:a\nb", "-@0 paragraph:c", "-@0 paragraph:d", "*@2 paragraph:e", "paragraph:f",
    "1@3 paragraph:g", "2@3 paragraph:h", "3@5 paragraph:i",
  ]);
  expect(outline("> - a\n>   1. b\n>\n>      > c\n> d")).toEqual(
    ["> -@1 paragraph:a", "> -@1 1@2 paragraph:b", "> -@1 1@2 > paragraph:c\nd"],
  );
});

test("items may be empty, and tasks", () => {
  expect(outline("-\n- b\n-\n\n- d\n\n-\n\n  text")).toEqual(
    ["-@0 empty:", "-@0 paragraph:b", "-@0 empty:", "-@0 paragraph:d", "-@0 empty:", "paragraph:text"],
  );
  expect(cut("- [x] a\n- [ ] b\n- [ ]\n- [y] c").map(({ within: [item] }) => item?.kind === "item" && item.task)).toEqual(
    ["done", "open", undefined, undefined],
  );
});

test("a line without indentation goes on with a paragraph, but not behind an empty line", () => {
  expect(outline("- a\nb\n\nc")).toEqual(["-@0 paragraph:a\nb", "paragraph:c"]);
  expect(outline("> a\nb\n\n> c")).toEqual(["> paragraph:a\nb", "> paragraph:c"]);
  expect(outline("> ```\nb")).toEqual(["> code:", "paragraph:b"]);
});

test("indented code goes on over empty lines, and keeps its tabs", () => {
  expect(outline("    a\n\n\t\tb\n\nc")).toEqual(["code:a\n\n\tb\n", "paragraph:c"]);
  expect(outline("- a\n\n      b\n\n\t\tc")).toEqual(["-@0 paragraph:a", "-@0 code:b\n\n  c\n"]);
  expect(outline("1.  a\n\n        b")).toEqual(["1@0 paragraph:a", "1@0 code:b\n"]);
});

test("a rule is no item, and a number is no item within a paragraph", () => {
  expect(outline("- a\n- - -\n* * *")).toEqual(["-@0 paragraph:a", "rule:", "rule:"]);
  expect(outline("in\n1984. a\n- b")).toEqual(["paragraph:in\n1984. a", "-@0 paragraph:b"]);
});

test("code in items, quotations and by indentation is whole, however long", () => {
  const code = "  if (x) {\n\n    y();\n  }\n".repeat(2_000);
  const inside = (prefix: string): string => code.trimEnd().split("\n").map((line) => (line === "" ? prefix.trimEnd() : prefix + line)).join("\n");
  expect(outline(`- a\n\n  \`\`\`js\n${inside("  ")}\n  \`\`\`\n  b\n- c`)).toEqual(
    ["-@0 paragraph:a", `-@0 code:${code}`, "-@0 paragraph:b", "-@0 paragraph:c"],
  );
  expect(outline(`> \`\`\`\n${inside("> ")}\n> \`\`\`\n> b`)).toEqual([`> code:${code}`, "> paragraph:b"]);
  expect(outline(`1. > - \`\`\`\n${inside("   >   ")}\n   >   \`\`\`\n\nb`)).toEqual([`1@0 > -@2 code:${code}`, "paragraph:b"]);
  expect(outline(`${inside("    ")}\n\nb`)).toEqual([`code:${code}`, "paragraph:b"]);
});

test("no block but code is longer than the limit, and no character is lost or cut in half", () => {
  for (const text of ["word ".repeat(9_000).trim(), "x".repeat(50_000), "😀".repeat(9_000), "line\n".repeat(3_000).trim()]) {
    const found = cut(text);
    expect(found.length).toBeGreaterThan(2);
    for (const block of found) {
      expect(block.source.length).toBeLessThanOrEqual(LIMIT);
      expect(block.source).not.toMatch(/\p{Surrogate}/u);
    }
    expect(found.map(({ part }) => part)).toEqual(["first", ...found.slice(1).map(() => "next")]);
    expect(found.map((block) => block.source).join("")).toBe(text);
  }
  expect(cut("```\n" + "x\n".repeat(50_000))).toHaveLength(1);
});

test("each row of a table is a block of its own", () => {
  const found = cut("b\n| a | b |\n|:--|--:|\n" + "| 1 | 2 |\n".repeat(4_000) + "\nend");
  expect(found).toHaveLength(4_003);
  expect(found[1]).toMatchObject({ kind: "table", source: "| a | b |", columns: ["left", "right"] });
  expect(found[4_001]).toMatchObject({ kind: "row", source: "| 1 | 2 |", columns: ["left", "right"] });
});

test("a table needs a line as wide as its head, and ends with another block", () => {
  expect(outline("| a | b |\n|---|\nc")).toEqual(["paragraph:| a | b |\n|---|\nc"]);
  expect(outline("a | b\n-|-\nc\n# d")).toEqual(["table:a | b", "row:c", "heading:d"]);
  expect(outline("> |a|\n> |-|\n> |1|\n|2|")).toEqual(["> table:|a|", "> row:|1|", "paragraph:|2|"]);
});

test("a formula in display style may hold what looks like other blocks, but no empty line", () => {
  expect(outline("$$\na\n- b\n= c\n> d\n$$ e\n- f")).toEqual(["paragraph:$$\na\n- b\n= c\n> d\n$$ e", "-@0 paragraph:f"]);
  expect(outline("so \\[\n# a\n\\]")).toEqual(["paragraph:so \\[\n# a\n\\]"]);
  expect(outline("- $$\n  + b\n  $$")).toEqual(["-@0 paragraph:$$\n+ b\n$$"]);
  expect(outline("$$ is money\n- a\n\nb")).toEqual(["paragraph:$$ is money", "-@0 paragraph:a", "paragraph:b"]);
  expect(outline("\\[ never\n- a")).toEqual(["paragraph:\\[ never", "-@0 paragraph:a"]);
  expect(outline("> $$\n- a")).toEqual(["> paragraph:$$", "-@1 paragraph:a"]);
});

test("containers deeper than sixteen are text", () => {
  const [block] = cut(">".repeat(40) + " a");
  expect(block?.within).toHaveLength(16);
  expect(block?.source).toBe(">".repeat(24) + " a");
});

const MARKS = ["- ", "* ", "1. ", "> ", "```\n", "~~~", "\n", "\n\n", "    ", "\t", "# ", "---\n", "|a|b|\n|-|-|\n", "word ", "- [x] ", "$$", "\\[\n", "\\]", "x".repeat(4_000)];

test("the blocks are the same, whatever the pieces are", () => {
  const chance = new Chance(7);
  for (let round = 0; round < 600; round += 1) {
    const text = Array.from({ length: chance.below(40) }, () => chance.pick(MARKS)).join("");
    const cuts = Array.from({ length: chance.below(12) }, () => chance.below(text.length + 1)).sort((a, b) => a - b);
    expect(cut(text, ...cuts)).toEqual(cut(text));
  }
});

test("the tail is what the text would be if it ended here, and changes nothing", () => {
  const blocks = new Blocks();
  blocks.feed("- a\n- b");
  const tail = blocks.tail((line) => line);
  expect(tail.map((block) => block.source)).toEqual(["a", "b"]);
  expect(blocks.tail((line) => line)).toEqual(tail);
  expect(blocks.feed("\n- c").map((block) => block.source)).toEqual(["a"]);
});

test("a growing table is one from its first row on", () => {
  const grown = (text: string): string[] => {
    const blocks = new Blocks();
    const found = blocks.feed(text);
    return [...found, ...blocks.tail((line) => line)].map(({ kind, source }) => `${kind}:${source}`);
  };
  expect(grown("b\n| a | b")).toEqual(["paragraph:b", "table:| a | b"]);
  expect(grown("| a | b |\n|-")).toEqual(["table:| a | b |"]);
  expect(grown("| a |\n|---|\n| x")).toEqual(["table:| a |", "row:| x"]);
});
