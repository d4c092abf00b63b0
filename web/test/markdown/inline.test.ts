import { describe, expect, test, vi } from "vitest";

import { inline, type References, withoutDefinitions } from "../../src/markdown/inline.js";

const none = (): References => ({ known: new Map(), missed: new Set() });
const asMarkup = (source: string): string => inline(source, none());
const link = (href: string, text = href): string => `<a href="${href}">${text}</a>`;

describe("addresses", () => {
  test.each([
    ["see www.example.org.", `see ${link("http://www.example.org", "www.example.org")}.`],
    ["to a@example.org", `to ${link("mailto:a@example.org", "a@example.org")}`],
    ["(https://a.test/b(c))", `(${link("https://a.test/b(c)")})`],
    ["**https://a.test/x_y_z**", `<strong>${link("https://a.test/x_y_z")}</strong>`],
    ["见https://a.test/x，和", `见${link("https://a.test/x")}，和`],
    ["用www.a.test的", `用${link("http://www.a.test", "www.a.test")}的`],
    ["<https://a.test/?a&b>", link("https://a.test/?a&amp;b")],
    ["[https://b.test](https://a.test)", link("https://a.test", "https://b.test")],
    ["[a@b.test](https://a.test)", link("https://a.test", "a@b.test")],
    ["xhttps://a.test www. http:// <T:x>", "xhttps://a.test www. http:// &lt;T:x&gt;"],
  ])("%j", (text, markup) => {
    expect(asMarkup(text)).toBe(markup);
  });

  test("of any length, and beside a word without end", () => {
    const long = `https://example.org/?signature=${"aA0".repeat(200)}`;
    expect(asMarkup(long)).toBe(link(long));
    const found = asMarkup(`${"a__b".repeat(300)} **bold** www.example.org`);
    expect(found).toContain("<strong>bold</strong> <a href");
  });
});

describe("what nothing closes or opens is looked for once", () => {
  /** How often a text is searched, or taken apart, for something. */
  const searches = (source: string, what: string): number => {
    const spies = [vi.spyOn(String.prototype, "indexOf"), vi.spyOn(String.prototype, "split")];
    asMarkup(source);
    const found = spies.flatMap((spy) => spy.mock.calls.filter(([sought]) => sought === what)).length;
    for (const spy of spies) spy.mockRestore();
    return found;
  };

  test.each([["\\(", "\\)"], ["\\[", "\\]"]])("%s", (mark, closing) => {
    expect(searches(mark.repeat(1_000), closing)).toBeLessThan(5);
  });

  test("parentheses at the end of an address", () => {
    expect(searches(`https://a.test/${")".repeat(1_000)}`, "(")).toBeLessThan(5);
    expect(asMarkup("https://a.test/b).&lt;)")).toBe(`${link("https://a.test/b")}).&lt;)`);
  });
});

describe("emphasis", () => {
  test.each([
    ["**重要：**请", "<strong>重要：</strong>请"],
    ["是**「重要」**的", "是<strong>「重要」</strong>的"],
    ["请**(a)**和", "请<strong>(a)</strong>和"],
    ["**a(b)**c", "**a(b)**c"],
    ["~a~ ~~b~~ ~~~c~~~", "~a~ <del>b</del> ~~~c~~~"],
    ["***a** b*", "<em><strong>a</strong> b</em>"],
    ["*a **b***", "<em>a <strong>b</strong></em>"],
    ["a_b_c __init__", "a_b_c <strong>init</strong>"],
    ["*a `*` b*", "<em>a <code>*</code> b</em>"],
    ["*[a*](https://a.test)", `*${link("https://a.test", "a*")}`],
  ])("%j", (text, markup) => {
    expect(asMarkup(text)).toBe(markup);
  });

  test("deeper than sixteen it shows its marks", () => {
    const found = asMarkup(`${"*a ".repeat(20)}${"b*".repeat(20)}`);
    expect(found.split("<em>")).toHaveLength(17);
    expect(found.replace(/<\/?em>/g, "").match(/\*/g)).toHaveLength(8);
  });

  test("what cannot be told apart is still all there", () => {
    const text = "a__b".repeat(1500);
    expect(asMarkup(text)).toBe(text);
  });
});

describe("the rest", () => {
  test.each([
    ["a  \n b\\\nc", "a<br>b<br>c"],
    ["&copy; &amp;lt; & a&b", "&copy; &amp;lt; &amp; a&amp;b"],
    ["<BR/> <b>x</b> <i class=x>", '<br> <b>x</b> &lt;i class=x&gt;'],
    ["![a *b*](https://a.test/c.png)", '<a rel="image" href="https://a.test/c.png">a b</a>'],
    ["[![a](https://a.test/b.png) c](https://c.test)", link("https://c.test", "a c")],
    ["[a [b](https://b.test)](https://c.test)", `[a ${link("https://b.test", "b")}](${link("https://c.test")})`],
    ["$a*b*c$ \\(d\\)", '<code class="math-inline">$a*b*c$</code> <code class="math-inline">\\(d\\)</code>'],
    ["\\[x\\] \\(an aside\\)", "[x] (an aside)"],
  ])("%j", (text, markup) => {
    expect(asMarkup(text)).toBe(markup);
  });

  test("a formula is open where a growing text ends", () => {
    expect(inline("**a $$b*c**", none(), 9)).toBe('<strong>a <code class="math-open">$$b*c</code></strong>');
    expect(asMarkup("a $$b*c")).toBe("a $$b*c");
  });

  test("definitions are taken from the beginning, and only whole ones", () => {
    const references = none();
    const text = "[A  b]: <https://a.test/x> 'title'\n[c]: https://c.test\n\"title\"\n[d]: \n[^1]: note";
    expect(withoutDefinitions(text, references)).toBe("[d]: \n[^1]: note");
    expect(inline("[a b] [x][C] [e]", references)).toBe(`${link("https://a.test/x", "a b")} ${link("https://c.test", "x")} [e]`);
    expect([...references.missed]).toEqual(["e"]);
  });
});
