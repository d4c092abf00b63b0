// @vitest-environment happy-dom
import { expect, test } from "vitest";

import { markup } from "../../src/markdown/render.js";

const asMarkup = (source: string): string => markup(source, { known: new Map(), missed: new Set() });

test("an address that stands alone is a link, also a long one", () => {
  expect(asMarkup("see www.example.org")).toContain('<a href="http://www.example.org">');
  expect(asMarkup(`https://example.org/?signature=${"aA0".repeat(200)}`)).toContain("<a href=");
  expect(asMarkup("to a@example.org")).toContain('<a href="mailto:a@example.org">');
});

test("beside a word without end no address is looked for, and all else is as ever", () => {
  const found = asMarkup(`${"a__b".repeat(300)} **bold** [said](https://example.org) www.example.org`);
  expect(found).toContain("<strong>bold</strong>");
  expect(found).toContain('<a href="https://example.org">said</a> www.example.org');
});

test("what cannot be told apart is still all there", () => {
  const text = "a__b".repeat(1500);
  expect(asMarkup(text)).toBe(`<p>${text}</p>\n`);
});
