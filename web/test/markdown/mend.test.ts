import { expect, test } from "vitest";

import { mendBlock, mendInline, mendLine } from "../../src/markdown/mend.js";

test.each([
  ["**bold", "**bold**"], ["**bold*", "**bold**"], ["**bold** and *it", "**bold** and *it*"], ["a **", "a "],
  ["**a *b", "**a *b***"], ["~~x", "~~x~~"], ["~x", "~x"], ["`code", "`code`"], ["`", ""], ["``a`", "``a``"], ["a * b", "a * b"],
  ["snake_case_", "snake_case"], ["2 * 3 * 4 x", "2 * 3 * 4 x"], ["`**` done", "`**` done"], ["\\", ""], ["\\*a", "\\*a"],
  ["[text", "text"], ["[text](http://a", "[text]()"], ["[text]", "[text]()"], ["![alt](http", ""], ["![al", ""],
  ["[a](b) c", "[a](b) c"], ["**[a](http", "**[a]()**"], ["", ""],
])("%j becomes %j", (half, whole) => {
  expect(mendInline(half)).toBe(whole);
});

test.each(["-", "- ", "*", "1", "12.", "##", "> ", "> -", "``", "**", "---", "===", "- [", "- [x", "[1]: http://a"])(
  "%j says nothing yet",
  (line) => {
    expect(mendLine(line, "")).toBe("");
  },
);

test("half a tag is held back, a comparison is not", () => {
  expect(mendLine("a <b", "")).toBe("a ");
  expect(mendLine("a </su", "")).toBe("a ");
  expect(mendLine("a < 5", "")).toBe("a < 5");
});

test("in a fence only its own marks are held back", () => {
  expect(mendLine("``", "```")).toBe("");
  expect(mendLine("- ", "```")).toBe("- ");
  expect(mendLine("~~", "```")).toBe("~~");
});

test("only the end of a long block is looked at, and where it is written ends is known", () => {
  expect(mendBlock("**a *b")).toEqual({ text: "**a *b***", end: 6 });
  expect(mendBlock("a **")).toEqual({ text: "a ", end: 2 });
  const long = `**${"word ".repeat(1_000)}`;
  expect(mendBlock(`${long}**b`)).toEqual({ text: `${long}**b**`, end: long.length + 3 });
});

test("in a formula nothing is a mark", () => {
  expect(mendInline("$a_1 * b*c$ *d")).toBe("$a_1 * b*c$ *d*");
  expect(mendInline("**x \\(a_1 *b")).toBe("**x \\(a_1 *b**");
  expect(mendInline("$$a_ *b")).toBe("$$a_ *b");
  expect(mendInline("costs $5 *a")).toBe("costs $5 *a*");
});

test("thousands of open marks are no work", () => {
  expect(mendInline("*a ".repeat(5_000)).length).toBeLessThanOrEqual(15_000);
});
