import { afterEach, expect, test, vi } from "vitest";

import { isName, newName } from "../../src/app/names.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a new name is one of the hub's, and another each time", () => {
  const names = new Set(Array.from({ length: 100 }, () => newName()));
  expect(names.size).toBe(100);
  for (const name of names) expect(name).toMatch(/^chat-[0-9a-f]{32}$/);
  expect([...names].every(isName)).toBe(true);
});

test("a new name is in the folder of its user", () => {
  expect(newName("chat/~0a/")).toMatch(/^chat\/~0a\/chat-[0-9a-f]{32}$/);
  expect(isName(newName("chat/ann@example.org/"))).toBe(true);
});

test("where the page is no secure context there is no randomUUID, and names still come", () => {
  const whole = crypto;
  vi.stubGlobal("crypto", { getRandomValues: (array: Uint8Array<ArrayBuffer>) => whole.getRandomValues(array) });
  expect(newName()).toMatch(/^chat-[0-9a-f]{32}$/);
});

test.each(["a", "chat-1", "a/b", "a.b~c:d@e+f-g_h", "x".repeat(1000)])(
  "%s is a name",
  (name) => {
    expect(isName(name)).toBe(true);
  },
);

test.each(["", "/", "a/", "/a", "a//b", ".a", "a/.b", "..", "ä", "a b", "a?b", "a#b", "a%2f", "a\n", "__ds/x", "x".repeat(1001)])(
  "%j is no name",
  (name) => {
    expect(isName(name)).toBe(false);
  },
);
