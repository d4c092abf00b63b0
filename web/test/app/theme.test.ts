// @vitest-environment happy-dom
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";

import { beforeEach, expect, test } from "vitest";

import { LocalStore, scopeOf } from "../../src/app/local-store.js";
import { ThemeChoice } from "../../src/app/theme.js";

const early = readFileSync(join(import.meta.dirname, "../../public/theme.js"), "utf8");

/** What public/theme.js does before the first paint. */
function load(): void {
  delete document.documentElement.dataset.theme;
  // The file is a classic script, which cannot be imported.
  runInNewContext(early, { URL, JSON, location, localStorage, document });
}

const shown = (): string | undefined => document.documentElement.dataset.theme;
const choice = (): ThemeChoice => new ThemeChoice(new LocalStore(scopeOf(location.href)), () => undefined);

beforeEach(() => {
  localStorage.clear();
  location.href = "http://hub.test/some/prefix/index.html#/c/x";
});

test.each(["light", "dark"] as const)("%s is remembered and there before the page's own script", (theme) => {
  choice().choose(theme);
  expect(shown()).toBe(theme);
  load();
  expect(shown()).toBe(theme);
  expect(choice().theme).toBe(theme);
});

test("the system's theme is no attribute", () => {
  const one = choice();
  one.choose("dark");
  one.choose("system");
  expect(shown()).toBeUndefined();
  load();
  expect(shown()).toBeUndefined();
});

test.each(["{", '"purple"', "null", '{"a":1}'])("whatever else is stored (%s) is the system's theme", (text) => {
  localStorage.setItem("streamhub:/some/prefix/:theme", text);
  load();
  expect(shown()).toBeUndefined();
  expect(choice().theme).toBe("system");
});

test("another tab's choice is this one's too", () => {
  const one = choice();
  localStorage.setItem("streamhub:/some/prefix/:theme", '"dark"');
  dispatchEvent(new StorageEvent("storage", { key: "streamhub:/some/prefix/:theme" }));
  expect(shown()).toBe("dark");
  expect(one.theme).toBe("dark");
});
