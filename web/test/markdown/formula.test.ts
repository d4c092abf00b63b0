import { expect, test } from "vitest";

import { formulaAt } from "../../src/markdown/formula.js";

/** The formulas of a text; those in display style have a "D" before them. */
function found(text: string): string[] {
  const formulas: string[] = [];
  for (let at = 0; at < text.length; ) {
    const formula = "\\$".includes(text.charAt(at)) ? formulaAt(text, at) : null;
    if (formula !== null) formulas.push((formula.isDisplay ? "D" : "") + text.slice(at, formula.end));
    at = formula?.end ?? at + (text.charAt(at) === "\\" ? 2 : 1);
  }
  return formulas;
}

test.each([
  ["$x$ and $y^2$.", ["$x$", "$y^2$"]],
  ["公式$x$是，$2 \\times 3$", ["$x$", "$2 \\times 3$"]],
  ["$a \\$ b$", ["$a \\$ b$"]],
  ["$$x$$ $$\ny\n$$", ["D$$x$$", "D$$\ny\n$$"]],
  ["\\(x\\) \\[ y = 1 \\]", ["\\(x\\)", "D\\[ y = 1 \\]"]],
  ["\\[x\\]", ["D\\[x\\]"]],
  ["($x$) \"$y$\" -$z$-", ["$x$", "$y$", "$z$"]],
])("%j has formulas", (text, formulas) => {
  expect(found(text)).toEqual(formulas);
});

test.each([
  "It costs $5 or $10.", "$5-$10", "$1,000", "5$ and 6$", "US$5 and HK$6", "from $5 apples to 6$", "价格是$5，另一个是$6。",
  "$5或6$", "$ x $", "$x $", "$ x$", "$HOME and $PATH", "$HOME/bin:$PATH", "a$b$c", "$$", "$$ $$", "$$$", "$x", "$$x", "\\(x", "\\[x",
  "\\(see below\\)", "see \\[1\\]", "\\[link\\](https://a.test)", `$${"x".repeat(2_000)}$`,
])("%j has none", (text) => {
  expect(found(text)).toEqual([]);
});

test("where a growing text ends, a formula may be open", () => {
  const open = { isOpen: true, isDisplay: true };
  expect(formulaAt("$$x", 0, 3)).toEqual({ ...open, end: 3 });
  expect(formulaAt("\\[x", 0, 3)).toEqual({ ...open, end: 3 });
  expect(formulaAt("\\(x**", 0, 3)).toEqual({ ...open, end: 3, isDisplay: false });
  expect(formulaAt("$x_1", 0, 4)).toEqual({ ...open, end: 4, isDisplay: false });
  expect(formulaAt("$5 or", 0, 5)).toBeNull();
  expect(formulaAt("$x", 0, 2)).toBeNull();
});
