import { expect, test } from "vitest";

import { mendBlock, mendInline, mendLine } from "../../src/markdown/mend.js";

test.each([
  ["**bold", "**bold**"], ["**bold*", "**bold**"], ["**bold** and *it", "**bold** and *it*"], ["a **", "a "],
  ["**a *b", "**a *b***"], ["~~x", "~~x~~"], ["`code", "`code`"], ["`", ""], ["``a`", "``a``"], ["a * b", "a * b"],
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

test("a table is one from its first row on", () => {
  expect(mendBlock("| a | **b")).toBe("| a | **b** |\n| --- | --- |\n");
  expect(mendBlock("| a | b |\n|-")).toBe("| a | b |\n| --- | --- |\n");
  expect(mendBlock("| a |\n|---|\n| x")).toBe("| a |\n|---|\n| x |");
});

test("code that is open in a list stays as it is", () => {
  expect(mendBlock("- a\n  ```js\n  const b = `c")).toBe("- a\n  ```js\n  const b = `c");
});

test("thousands of open marks are no work", () => {
  expect(mendInline("*a ".repeat(5_000)).length).toBeLessThanOrEqual(15_000);
});
