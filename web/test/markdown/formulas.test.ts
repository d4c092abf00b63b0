// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { loadMathWith } from "../../src/markdown/formulas.js";
import { StreamingMarkdown } from "../../src/markdown/stream.js";
import { type Frames, frames } from "../support/frames.js";

// DOMPurify does not run on this DOM; the wall itself is proved in a real browser.
vi.mock("../../src/markdown/sanitize.js", async () => import("../support/unsanitized.js"));

let clock: Frames;
let loads: number;
let came: () => void;
let failed: () => void;
const asked: [tex: string, isDisplay: boolean][] = [];

function markup(tex: string, isDisplay: boolean): string {
  asked.push([tex, isDisplay]);
  if (tex.includes("\\wrong")) throw new Error("no formula");
  return `<b>${tex.trim()}</b>`;
}

beforeEach(() => {
  clock = frames();
  loads = asked.length = 0;
  loadMathWith(() => {
    loads += 1;
    return new Promise((resolve, reject) => {
      came = () => {
        resolve({ markup, style: new CSSStyleSheet() });
      };
      failed = () => {
        reject(new Error("no network"));
      };
    });
  });
});

afterEach(() => {
  clock.settle();
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

function begin(): { markdown: StreamingMarkdown; root: Element } {
  const host = document.createElement("div");
  document.body.append(host);
  const markdown = new StreamingMarkdown(host);
  const root = host.querySelector(".hub-markdown");
  if (root === null) throw new Error("no root");
  return { markdown, root };
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  clock.settle();
};
const texts = (root: Element): string[] => [...root.querySelectorAll(".hub-math")].map((one) => one.innerHTML);

test("KaTeX is loaded once, for the first formula, and until then it is shown as it is written", async () => {
  const { markdown, root } = begin();
  markdown.set("costs $5\n\n", false);
  clock.settle();
  expect(loads).toBe(0);
  markdown.set("costs $5\n\n$x_1$ and $$y$$ \\(z\\) \\[w = 1\\]", true);
  clock.settle();
  expect(loads).toBe(1);
  expect(texts(root)).toEqual(["$x_1$", "$$y$$", "\\(z\\)", "\\[w = 1\\]"]);
  came();
  await settled();
  expect(texts(root)).toEqual(["<b>x_1</b>", "<b>y</b>", "<b>z</b>", "<b>w = 1</b>"]);
  expect(asked.map(([, isDisplay]) => isDisplay)).toEqual([false, true, false, true]);
  begin().markdown.set("$a$", true);
  clock.settle();
  expect(loads).toBe(1);
});

test("what is no formula, and what does not end, stays as it is written", async () => {
  const { markdown, root } = begin();
  markdown.set("$\\wrong$ is <b>not</b> $$\\alpha", false);
  clock.settle();
  came();
  await settled();
  expect(root.textContent).toBe("$\\wrong$ is not $$\\alpha");
  expect(asked).toEqual([["\\wrong", false]]);
  markdown.set("$\\wrong$ is <b>not</b> $$\\alpha", true);
  clock.settle();
  expect(root.textContent).toBe("$\\wrong$ is not $$\\alpha");
});

test("a formula is set once, however much text follows it", async () => {
  const { markdown, root } = begin();
  markdown.set("- $x$ a", false);
  clock.settle();
  came();
  await settled();
  const set = root.querySelector(".hub-math");
  for (const more of [" b", " b $y", " b $y$", " b $y$\n- $x$", " b $y$\n- $x$\n\nend"]) {
    markdown.set(`- $x$ a${more}`, false);
    clock.settle();
    expect(root.querySelector(".hub-math")).toBe(set);
  }
  markdown.set("- $x$ a b $y$\n- $x$\n\nend", true);
  clock.settle();
  expect(root.querySelector(".hub-math")).toBe(set);
  expect(texts(root)).toEqual(["<b>x</b>", "<b>y</b>", "<b>x</b>"]);
  expect(asked.map(([tex]) => tex)).toEqual(["x", "y", "x"]);
});

test("without KaTeX the text stands there, and it is not asked for again at once", async () => {
  const { markdown, root } = begin();
  markdown.set("$x$", false);
  clock.settle();
  failed();
  await settled();
  markdown.set("$x$ $y$", true);
  clock.settle();
  expect(loads).toBe(1);
  expect(root.textContent).toBe("$x$ $y$");
});

test("copied text has its formulas as they were written", async () => {
  const { markdown, root } = begin();
  markdown.set("a $x$\nb\n\n| $y$ | 2 |\n|-|-|\n| 3 | 4 |", true);
  clock.settle();
  came();
  await settled();
  const copy = (from: Node, to: Node): string | undefined => {
    const range = document.createRange();
    range.setStartBefore(from);
    range.setEndAfter(to);
    document.getSelection()?.removeAllRanges();
    document.getSelection()?.addRange(range);
    const event = new ClipboardEvent("copy", { clipboardData: new DataTransfer(), bubbles: true, cancelable: true });
    root.dispatchEvent(event);
    return event.defaultPrevented ? event.clipboardData?.getData("text/plain") : undefined;
  };
  const [paragraph, table] = root.children;
  if (paragraph === undefined || table === undefined) throw new Error("nothing is shown");
  expect(copy(paragraph, table)).toBe("a $x$\nb\n$y$\t2\t\n3\t4\t\n");
  const formula = root.querySelector(".hub-math b")?.firstChild;
  expect(formula && copy(formula, formula)).toBe("$x$");
  const plain = root.querySelector("tbody td")?.firstChild;
  expect(plain && copy(plain, plain)).toBeUndefined();
});
