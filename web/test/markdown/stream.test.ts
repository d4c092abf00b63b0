// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { loadMathWith } from "../../src/markdown/formulas.js";
import { StreamingMarkdown } from "../../src/markdown/stream.js";
import { type Frames, frames } from "../support/frames.js";

// DOMPurify does not run on this DOM; the wall itself is proved in a real browser.
vi.mock("../../src/markdown/sanitize.js", async () => import("../support/unsanitized.js"));

const RICH = `# Title

Some **bold** and [a link](https://a.test/x) and [ref][r].

- one
- two
  - nested

\`\`\`js
const a = 1;
\`\`\`

| a | b |
|---|--:|
| 1 | 2 |

> quote

1. x
2. y

[r]: https://ref.test/

The end.
`;

let clock: Frames;

beforeEach(() => {
  clock = frames();
  loadMathWith(() => new Promise(() => undefined));
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  document.body.replaceChildren();
});

afterEach(() => {
  settle();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function frame(): number {
  return clock.frame();
}

function settle(): void {
  clock.settle();
}

function begin(): { markdown: StreamingMarkdown; root: Element } {
  const host = document.createElement("div");
  document.body.append(host);
  const markdown = new StreamingMarkdown(host);
  const root = host.querySelector(".hub-markdown");
  if (root === null) throw new Error("no root");
  return { markdown, root };
}

function whole(text: string): string {
  const { markdown, root } = begin();
  markdown.set(text, true);
  settle();
  return root.innerHTML;
}

test("whatever the pieces, the document is that of the whole text", () => {
  for (const text of [RICH, RICH.replaceAll("\n", "\r\n"), RICH.trimEnd(), "a\r\rb \ud83d\ude00 \ud83d"]) {
    const expected = whole(text);
    for (const step of [text.length > 99 ? 9 : 1, 50]) {
      const { markdown, root } = begin();
      for (let end = step; end < text.length; end += step) {
        markdown.set(text.slice(0, end), false);
        frame();
      }
      markdown.set(text, true);
      settle();
      expect(root.innerHTML).toBe(expected);
    }
  }
});

test("a finished block is never touched again", async () => {
  const { markdown, root } = begin();
  const first = "# Title\n\nSome **bold** text.\n\n- one\n- two\n\n```js\nlet a;\n```\n\n";
  markdown.set(first, false);
  settle();
  const before = [...root.querySelectorAll("*")];
  const touched: Node[] = [];
  const observer = new MutationObserver((records) => touched.push(...records.map((record) => record.target)));
  const frozen = [...root.children];
  for (const node of frozen) observer.observe(node, { subtree: true, childList: true, attributes: true, characterData: true });
  for (let end = 1; end <= 60; end += 1) {
    markdown.set(first + "and *more* of it\n\n1. x\n2. y\n\n> and so on and on, for ever".slice(0, end), false);
    frame();
  }
  await Promise.resolve();
  observer.disconnect();
  expect(touched).toEqual([]);
  expect([...root.querySelectorAll("*")].slice(0, before.length)).toEqual(before);
  expect(root.textContent).toContain("so on");
});

test("items that are finished keep their nodes while the list grows", () => {
  const { markdown, root } = begin();
  markdown.set("1. one\n2. two\n3. th", false);
  settle();
  const items = [...root.querySelectorAll("li")];
  markdown.set("1. one\n2. two\n3. three\n4. four\n", false);
  settle();
  expect([...root.querySelectorAll("li")].slice(0, 3)).toEqual(items);
  expect(root.querySelectorAll("ol")).toHaveLength(1);
});

test("however often the text is set, there is one write a frame", () => {
  const { markdown, root } = begin();
  markdown.set("a", false);
  markdown.set("ab", false);
  markdown.set("abc", false);
  expect(root.textContent).toBe("");
  expect(clock.waiting).toBe(1);
  frame();
  expect(root.textContent).toBe("abc");
  expect(clock.waiting).toBe(0);
});

test("what is complete from the beginning is there at once, as far as there is time", () => {
  const { markdown, root } = begin();
  markdown.set("whole\n\nand complete", true);
  expect(root.textContent).toBe("wholeand complete");
  markdown.set("whole\n\nand another", true);
  expect(root.textContent).toBe("wholeand complete");
  settle();
  expect(root.textContent).toBe("wholeand another");
  const long = [begin(), begin()];
  const clocked = vi.spyOn(performance, "now");
  for (const time of [0, 0, 100]) clocked.mockReturnValueOnce(time);
  clocked.mockReturnValue(100);
  for (const one of long) one.markdown.set("one\n\ntwo", true);
  expect(long.map((one) => one.root.textContent)).toEqual(["one", ""]);
  clocked.mockRestore();
  settle();
  expect(long.map((one) => one.root.textContent)).toEqual(["onetwo", "onetwo"]);
});

test("without frames, in a tab that nobody sees, a timer does it", () => {
  const { markdown, root } = begin();
  markdown.set("hidden", false);
  vi.advanceTimersByTime(1_000);
  expect(root.textContent).toBe("hidden");
});

test("another text replaces the first, and a shorter one cuts it", () => {
  const { markdown, root } = begin();
  markdown.set("# One\n\n- a\n- b\n\n```js\nx\n```\n", true);
  settle();
  markdown.set("# One\n\n- a\n\nother", true);
  settle();
  expect(root.innerHTML).toBe(whole("# One\n\n- a\n\nother"));
  markdown.set("# On", true);
  settle();
  expect(root.innerHTML).toBe(whole("# On"));
  markdown.set("# On and on", true);
  settle();
  expect(root.innerHTML).toBe(whole("# On and on"));
});

test("clear() forgets the text and what was still to be written", () => {
  const { markdown, root } = begin();
  markdown.set("# a\n\nb", true);
  settle();
  markdown.set("# a\n\nbc", true);
  markdown.clear();
  settle();
  expect(root.innerHTML).toBe("");
  markdown.set("new", true);
  settle();
  expect(root.innerHTML).toBe('<p dir="auto">new</p>');
});

test("a definition reaches the paragraphs before it, and only them", () => {
  const { markdown, root } = begin();
  markdown.set("see [this][r].\n\n- or [that]\n- none\n\nplain\n\n", false);
  settle();
  const nodes = [...root.children];
  expect(root.querySelector("a")).toBeNull();
  markdown.set("see [this][r].\n\n- or [that]\n- none\n\nplain\n\n[r]: https://a.test/\n[that]: https://b.test/\n\n", true);
  settle();
  expect([...root.querySelectorAll("a")].map((link) => link.getAttribute("href"))).toEqual(["https://a.test/", "https://b.test/"]);
  expect(root.querySelectorAll("li")).toHaveLength(2);
  expect([...root.children]).toEqual(nodes);
});

test("what is half typed does not show its marks", () => {
  const { markdown, root } = begin();
  const text = "**bold** and *soft* `code` [name](https://a.test/) ~~gone~~ \n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] ok\n";
  for (let end = 1; end < text.length; end += 1) {
    markdown.set(text.slice(0, end), false);
    frame();
    expect(root.textContent).not.toMatch(/[*`~|[]|\]\(|--/);
  }
});

test("a fence is code from its marks on, and grows in place", () => {
  const { markdown, root } = begin();
  markdown.set("```python", false);
  settle();
  const code = root.querySelector("pre code");
  expect(root.querySelector(".hub-code-language")?.textContent).toBe("python");
  markdown.set("```python\nprint(1)\n``", false);
  settle();
  expect(root.querySelector("pre code")).toBe(code);
  expect(code?.textContent).toBe("print(1)");
  expect(code?.querySelector(".hljs-built_in")?.textContent).toBe("print");
});

test("long code is the same text, in pieces", () => {
  const { markdown, root } = begin();
  const code = 'def f(x):\n    """a\n\nb"""\n    return x\n\n\n'.repeat(120);
  markdown.set("```py\n" + code + "```\n", true);
  settle();
  expect(root.querySelector("code")?.textContent).toBe(code);
  expect(root.querySelectorAll("code > span").length).toBeGreaterThan(3);
});

test("the button copies the code and says so", async () => {
  const { markdown, root } = begin();
  const writeText = vi.fn(() => Promise.resolve());
  vi.stubGlobal("navigator", { clipboard: { writeText } });
  markdown.set("```js\nlet a;\n```\n", true);
  settle();
  const button = root.querySelector<HTMLButtonElement>("button");
  button?.click();
  await vi.waitFor(() => {
    expect(button?.textContent).toBe("Copied");
  }, { timeout: 20_000 });
  expect(writeText).toHaveBeenCalledWith("let a;");
  expect(root.parentElement?.querySelector("[role=status]")?.textContent).toBe("Code copied");
  vi.advanceTimersByTime(5_000);
  expect(button?.textContent).toBe("Copy");
});

test("images are links, and links say their host", () => {
  const { markdown, root } = begin();
  markdown.set("![cat](https://a.test/cat.png) [x](https://b.test/) [b.test](https://b.test/) [y](javascript:1) ![z](data:x)", true);
  settle();
  expect(root.querySelector("img")).toBeNull();
  expect([...root.querySelectorAll("a")].map((link) => [link.textContent, link.getAttribute("href")])).toEqual([
    ["image: cat (a.test)", "https://a.test/cat.png"],
    ["x (b.test)", "https://b.test/"],
    ["b.test", "https://b.test/"],
    ["y", null],
    ["image: z", null],
  ]);
});
