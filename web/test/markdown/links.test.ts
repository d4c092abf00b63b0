import { expect, test } from "vitest";

import { says, target } from "../../src/markdown/links.js";

test.each([
  "javascript:alert(1)", "JAVASCRIPT:alert(1)", "java\tscript:alert(1)", " javascript:alert(1)", "vbscript:x",
  "data:text/html,x", "blob:https://a.test/1", "file:///etc/passwd", "ftp://a.test", "//a.test", "/here", "#there",
  "relative", "", "https:a.test", "https://", "http://[", "https://good.test@evil.test/", "https://a:b@c.test",
  "about:blank", "mailto:", "\u0001https://a.test",
])("%j goes nowhere", (href) => {
  expect(target(href)).toBeNull();
});

test("the web and mailboxes are said in ASCII", () => {
  expect(target("https://bücher.test:8080/ü?x#y")).toEqual({
    href: "https://xn--bcher-kva.test:8080/%C3%BC?x#y",
    host: "xn--bcher-kva.test:8080",
  });
  expect(target("HTTP://A.test")?.host).toBe("a.test");
  expect(target("mailto:a@b.test?bcc=c@d.test&body=x")).toEqual({ href: "mailto:a@b.test", host: "a@b.test" });
});

test("a text says its host only if it begins with it, whole", () => {
  expect(says("https://a.test/x", "a.test")).toBe(true);
  expect(says("a.test", "a.test")).toBe(true);
  expect(says("A.test?q", "a.test")).toBe(true);
  for (const text of ["a.test.evil", "x a.test", "https://b.test", "", "a.tes", "a.test@b"]) {
    expect(says(text, "a.test")).toBe(false);
  }
});
