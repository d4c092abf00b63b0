// @vitest-environment happy-dom
/**
 * What models write, and the text that must stand in the document for it: `corpus/*.md` and, beside
 * it, `*.txt`. Each is streamed letter by letter, and cut in two at every place.
 *
 * In the `.txt` each block is a line, with its containers before it. `**`, `//`, `~~`, `<…>` and `` ` ``
 * are around what is strong, emphasized, struck out, a link and code, and `{…}` around a formula.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { loadMathWith } from "../../src/markdown/formulas.js";
import { StreamingMarkdown } from "../../src/markdown/stream.js";
import { Chance } from "../support/random.js";
import { type Frames, frames } from "../support/frames.js";

// DOMPurify does not run on this DOM; the wall itself is proved in a real browser.
vi.mock("../../src/markdown/sanitize.js", async () => import("../support/unsanitized.js"));

const FOLDER = join(import.meta.dirname, "corpus");
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith(".md")).map((name) => name.slice(0, -3));
const read = (name: string): string => readFileSync(join(FOLDER, name), "utf8");

let clock: Frames;

beforeEach(() => {
  clock = frames();
  loadMathWith(() => new Promise(() => undefined));
  document.body.replaceChildren();
});

afterEach(() => {
  clock.settle();
  vi.unstubAllGlobals();
});

function begin(): { markdown: StreamingMarkdown; root: Element } {
  const host = document.createElement("div");
  document.body.replaceChildren(host);
  const markdown = new StreamingMarkdown(host);
  const root = host.firstElementChild;
  if (root === null) throw new Error("no root");
  return { markdown, root };
}

function whole(text: string): Element {
  const { markdown, root } = begin();
  markdown.set(text, true);
  clock.settle();
  return root;
}

const INLINE: Record<string, [string, string]> = {
  STRONG: ["**", "**"], EM: ["//", "//"], DEL: ["~~", "~~"], CODE: ["`", "`"], A: ["<", ">"], BR: ["\n", ""],
};
const BLOCKS = "P H1 H2 H3 H4 H5 H6 HR UL OL LI BLOCKQUOTE DIV".split(" ");

/** The text of a document, as described above. */
function told(node: Node, before = ""): string {
  let lines = "";
  let line = "";
  const end = (): void => {
    if (line !== "") lines += `${before}${line.replaceAll("\n", `\n${before}`)}\n`;
    line = "";
  };
  for (const child of node.childNodes) {
    if (!(child instanceof Element) || !BLOCKS.includes(child.tagName)) line += words(child);
    else {
      end();
      lines += block(child, before);
    }
  }
  end();
  return lines;
}

function block(element: Element, before: string): string {
  const inner = (prefix: string): string => told(element, before + prefix);
  if (element.classList.contains("hub-code")) {
    const code = element.querySelector("code")?.textContent ?? "";
    return `${before}${element.querySelector(".hub-code-language")?.textContent ?? ""}:\n${code.replace(/^/gm, `${before}    `).trimEnd()}\n`;
  }
  if (element.classList.contains("hub-table")) {
    const rows = [...element.querySelectorAll("tr")];
    return rows.map((row) => `${before}| ${[...row.children].map(words).join(" | ")} |\n`).join("");
  }
  if (element.tagName === "HR") return `${before}---\n`;
  if (element.tagName === "BLOCKQUOTE") return inner("> ");
  if (element.tagName === "LI") {
    const list = element.parentElement as HTMLOListElement;
    const at = [...list.children].indexOf(element);
    const mark = list.tagName === "OL" ? `${Number(list.getAttribute("start") ?? 1) + at}. ` : "- ";
    const text = inner(" ".repeat(mark.length));
    return text === "" ? `${before}${mark}\n` : before + mark + text.slice(before.length + mark.length);
  }
  return /^H\d$/.test(element.tagName) ? inner(`${"#".repeat(Number(element.tagName.charAt(1)))} `) : inner("");
}

function words(node: Node): string {
  if (!(node instanceof Element)) return node.textContent ?? "";
  const inner = [...node.childNodes].map(words).join("");
  if (node.classList.contains("hub-math")) return `{${inner}}`;
  const [open, close] = INLINE[node.tagName] ?? ["", ""];
  return open + inner + close;
}

test.each(NAMES)("%s has the text that it must have", (name) => {
  expect(told(whole(read(`${name}.md`)))).toBe(read(`${name}.txt`));
});

test.each(NAMES)("%s is the same document, streamed letter by letter and cut anywhere", (name) => {
  const text = read(`${name}.md`);
  const expected = whole(text).innerHTML;
  const { markdown, root } = begin();
  for (let end = 1; end < text.length; end += 1) {
    markdown.set(text.slice(0, end), false);
    clock.frame();
  }
  markdown.set(text, true);
  clock.settle();
  expect(root.innerHTML).toBe(expected);
  for (let end = 1; end < text.length; end += 1) {
    markdown.clear();
    markdown.set(text.slice(0, end), false);
    clock.frame();
    markdown.set(text, true);
    clock.settle();
    expect(root.innerHTML, `cut after ${end}`).toBe(expected);
  }
});

test.each(NAMES)("%s cut off anywhere is the document of that text", (name) => {
  const text = read(`${name}.md`);
  const { markdown, root } = begin();
  for (let end = 1; end < text.length; end += 7) {
    const cut = text.slice(0, end);
    markdown.set(cut, false);
    clock.frame();
    const other = begin();
    other.markdown.set(cut, true);
    clock.settle();
    markdown.set(cut, true);
    clock.settle();
    expect(root.innerHTML).toBe(other.root.innerHTML);
  }
});

test("all of them at once, in a different order and in pieces of any size", () => {
  const chance = new Chance(11);
  for (let round = 0; round < 12; round += 1) {
    const text = Array.from({ length: 4 }, () => read(`${chance.pick(NAMES)}.md`)).join(chance.pick(["\n", "", "\n\n> "]));
    const expected = whole(text).innerHTML;
    const { markdown, root } = begin();
    for (let end = 1; end < text.length; end += 1 + chance.below(60)) {
      markdown.set(text.slice(0, end), false);
      clock.frame();
    }
    markdown.set(text, true);
    clock.settle();
    expect(root.innerHTML).toBe(expected);
  }
});

// What is too long for a file

const CODE = Array.from({ length: 900 }, (_, i) => (i % 9 === 8 ? "" : `${" ".repeat(i % 5)}const line_${i} = "**${i}**"; // ~~~ \`${i}\``)).join("\n");
const inside = (prefix: string): string => CODE.split("\n").map((line) => (line === "" ? prefix.trimEnd() : prefix + line)).join("\n");
const LONG: [name: string, text: string, within: string][] = [
  ["in an item", `1. before\n\n   \`\`\`ts\n${inside("   ")}\n   \`\`\`\n\n   after\n2. next`, "ol > li"],
  ["in a quotation", `> before\n> \`\`\`ts\n${inside("> ")}\n> \`\`\`\n> after`, "blockquote"],
  ["in a quotation in an item", `- before\n  > \`\`\`\`ts\n${inside("  > ")}\n  > \`\`\`\`\n\n  after`, "ul > li > blockquote"],
  ["by indentation", `before\n\n${inside("    ")}\n\nafter`, ":scope"],
  ["by indentation in an item", `- before\n\n${inside("      ")}\n\n  after`, "ul > li"],
];

test.each(LONG)("code of 30,000 characters %s is one block, whole, and grows in place", (_, text, within) => {
  expect(CODE.length).toBeGreaterThan(30_000);
  const check = (root: Element): void => {
    const code = [...root.querySelectorAll(".hub-code")];
    expect(code).toHaveLength(1);
    expect(code[0]?.parentElement?.matches(within === ":scope" ? ".hub-markdown" : within)).toBe(true);
    expect(code[0]?.querySelector("code")?.textContent.trimEnd()).toBe(CODE.trimEnd());
    expect(root.textContent).toContain("after");
  };
  const expected = whole(text);
  check(expected);
  const { markdown, root } = begin();
  let block: Element | null = null;
  for (let end = 200; end < text.length; end += 1_777) {
    markdown.set(text.slice(0, end), false);
    clock.settle();
    block ??= root.querySelector(".hub-code");
    expect(root.querySelector(".hub-code")).toBe(block);
  }
  markdown.set(text, true);
  clock.settle();
  check(root);
  expect(root.querySelector(".hub-code")).toBe(block);
  expect(root.innerHTML).toBe(expected.innerHTML);
});

test("a table of 4,000 rows is one table, and a row that is finished is not touched again", async () => {
  const rows = Array.from({ length: 4_000 }, (_, i) => `| ${i} | **value** ${i} | \`code\` |`);
  const text = `| a | b | c |\n|---|--:|---|\n${rows.join("\n")}\n`;
  const expected = whole(text);
  expect(expected.querySelectorAll("table")).toHaveLength(1);
  expect([...expected.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent).join("|"))).toEqual(
    Array.from({ length: 4_000 }, (_, i) => `${i}|value ${i}|code`),
  );
  const { markdown, root } = begin();
  const first = text.indexOf("| 2000 |");
  markdown.set(text.slice(0, first), false);
  clock.settle();
  const kept = [...root.querySelectorAll("tr")];
  expect(kept).toHaveLength(2_001);
  const touched: Node[] = [];
  const observer = new MutationObserver((records) => touched.push(...records.map((record) => record.target)));
  for (const row of kept) observer.observe(row, { subtree: true, childList: true, attributes: true, characterData: true });
  for (let end = first; end < text.length; end += 3_000) {
    markdown.set(text.slice(0, end), false);
    clock.settle();
  }
  markdown.set(text, true);
  clock.settle();
  await Promise.resolve();
  expect(touched).toEqual([]);
  expect([...root.querySelectorAll("tr")].slice(0, 2_001).every((row, i) => row === kept[i])).toBe(true);
  expect(root.innerHTML).toBe(expected.innerHTML);
});

test("a list of 80 items is one list, and an item that is finished is not touched again", async () => {
  const text = Array.from({ length: 80 }, (_, i) => `${i + 1}. Item **${i}**\n   - sub ${i}\n     \`\`\`js\n     let a = ${i};\n     \`\`\`\n`).join("");
  const expected = whole(text);
  expect(expected.querySelectorAll(".hub-markdown > ol > li, ol > li")).toHaveLength(80);
  const { markdown, root } = begin();
  const touched = new Set<Node>();
  const observer = new MutationObserver((records) => {
    for (const record of records) touched.add(record.target);
  });
  const watched: Element[] = [];
  for (let end = 1; end < text.length; end += 5) {
    markdown.set(text.slice(0, end), false);
    clock.frame();
    const items = [...root.querySelectorAll("ol > li")].slice(0, -1);
    for (const item of items.slice(watched.length)) {
      watched.push(item);
      await Promise.resolve();
      observer.takeRecords();
      observer.observe(item, { subtree: true, childList: true, attributes: true, characterData: true });
    }
  }
  markdown.set(text, true);
  clock.settle();
  await Promise.resolve();
  expect(watched).toHaveLength(79);
  expect([...touched]).toEqual([]);
  expect(root.innerHTML).toBe(expected.innerHTML);
});

test("a paragraph without end is one paragraph, with every character of it", () => {
  for (const text of ["word ".repeat(9_000).trim(), "长".repeat(20_000), `${"a line of a poem\n".repeat(2_000)}the end`]) {
    const root = whole(text);
    expect(root.querySelectorAll("p")).toHaveLength(1);
    expect(told(root)).toBe(`${text}\n`);
  }
});
