import { expect, test } from "vitest";

import { alignments, cellsOf, rowCells } from "../../src/markdown/table.js";

test.each([
  ["| a | b |", ["a", "b"]],
  ["a|b", ["a", "b"]],
  ["|a|", ["a"]],
  ["| a | |", ["a", ""]],
  ["| a \\| b | c", ["a | b", "c"]],
  ["||", [""]],
])("the cells of %j", (line, cells) => {
  expect(cellsOf(line)).toEqual(cells);
});

test("a row has as many cells as its table, and nothing of it is lost", () => {
  expect(rowCells("| a |", 2)).toEqual(["a", ""]);
  expect(rowCells("| `a|b` | c |", 2)).toEqual(["`a|b`", "c"]);
  expect(rowCells("| ``a`|b`` | $|x|$ |", 2)).toEqual(["``a`|b``", "$|x|$"]);
  expect(rowCells("| a | b | c | d |", 2)).toEqual(["a", "b | c | d"]);
  expect(rowCells("| `a | b` |", 2)).toEqual(["`a", "b`"]);
});

test("how columns are aligned", () => {
  expect(alignments("|:-|-:|:-:|---|")).toEqual(["left", "right", "center", undefined]);
});
