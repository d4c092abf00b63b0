/** The lines of a table: cells between pipes. */

export type Alignment = "left" | "right" | "center" | undefined;

/** The line below a table's head. */
export const DELIMITERS = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** Code or a formula, in which pipes may stand; or a pipe that is escaped. */
const UNDIVIDED = /(?<!`)(`+)(?!`)(?:[^]*?[^`])?\1(?!`)|\$[^\s$](?:[^$]*[^\s$])?\$(?![\w$])|\\[^]/g;

/** The cells of a line, with their inline Markdown. */
export function cellsOf(line: string): string[] {
  return split(line, /\\[^]/g);
}

/**
 * The cells of a row in a table of so many columns; missing ones are empty. If there are too many,
 * pipes in code and in formulas divide nothing; if there are still too many, the last cell has them.
 */
export function rowCells(line: string, columns: number): string[] {
  let cells = cellsOf(line);
  if (cells.length > columns) cells = split(line, UNDIVIDED, columns);
  return Array.from({ length: columns }, (_, i) => cells[i] ?? "");
}

export function alignments(delimiters: string): Alignment[] {
  return cellsOf(delimiters).map((cell) => {
    const [isLeft, isRight] = [cell.startsWith(":"), cell.endsWith(":")];
    return isLeft && isRight ? "center" : isRight ? "right" : isLeft ? "left" : undefined;
  });
}

function split(line: string, undivided: RegExp, most = Infinity): string[] {
  const text = line.trim();
  const isHidden = new Set<number>();
  for (const { 0: found, index } of text.matchAll(undivided)) {
    for (let at = index; at < index + found.length; at += 1) isHidden.add(at);
  }
  const cells: string[] = [];
  let from = text.startsWith("|") ? 1 : 0;
  for (let at = text.indexOf("|", from); at >= 0; at = text.indexOf("|", at + 1)) {
    if (isHidden.has(at) || (cells.length === most - 1 && at < text.length - 1)) continue;
    cells.push(text.slice(from, at));
    from = at + 1;
  }
  if (from < text.length) cells.push(text.slice(from));
  return cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
}
