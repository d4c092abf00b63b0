// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";

import { arranged, ConversationList, type Entry, found, MOST } from "../../src/app/conversation-list.js";
import { LocalStore } from "../../src/app/local-store.js";

const KEY = "streamhub:/:conversation:a";
const WHOLE = "streamhub:/:conversations";
const list = (): ConversationList => new ConversationList(new LocalStore("/"));
const names = (entries: readonly Entry[]): string[] => entries.map((entry) => entry.name);
const entry = (name: string, at: number, from?: string): Entry => ({ name, title: name, at, ...(from && { from }) });

/** What the browser does in the other tabs when one has stored something. */
function tellTabs(key: string | null = KEY): void {
  dispatchEvent(new StorageEvent("storage", { key }));
}

beforeEach(() => {
  localStorage.clear();
});

test("what is put is there after a reload, the latest first", () => {
  const first = list();
  first.put("a", { title: "A", at: 1 });
  first.put("b", { title: "B", at: 2 });
  first.put("a", { at: 3 });
  expect(list().entries).toEqual([
    { name: "a", title: "A", at: 3 },
    { name: "b", title: "B", at: 2 },
  ]);
});

test("a field is taken away with undefined", () => {
  const one = list();
  one.put("a", { at: 1, running: "g1" });
  expect(one.find("a")?.running).toBe("g1");
  one.put("a", { running: undefined });
  expect(list().find("a")).not.toHaveProperty("running");
});

test("tabs do not undo each other's changes, even before they are told of them", () => {
  const [one, other] = [list(), list()];
  one.put("a", { at: 1 });
  other.put("b", { at: 2 });
  one.put("c", { at: 3 });
  other.remove("a");
  expect(names(list().entries)).toEqual(["c", "b"]);
});

test("a tab is told what another one stored, and when everything was cleared", () => {
  const [one, other] = [list(), list()];
  let told = 0;
  other.onChange(() => told++);
  one.put("a", { at: 1 });
  expect(other.entries).toEqual([]);
  tellTabs("streamhub:/another/:conversation:a");
  expect(told).toBe(0);
  tellTabs();
  expect(names(other.entries)).toEqual(["a"]);
  localStorage.clear();
  tellTabs(null);
  expect(other.entries).toEqual([]);
  expect(told).toBe(2);
});

test("nothing is stored and nobody told where nothing changes", () => {
  const one = list();
  one.put("a", { title: "A", at: 1 });
  let told = 0;
  one.onChange(() => told++);
  one.put("a", { title: "A" });
  expect(told).toBe(0);
});

test("the list is bounded: what was quiet for longest goes", () => {
  const one = list();
  for (let at = 0; at <= MOST; at++) one.put(`c${at}`, { at });
  expect(one.entries.length).toBe(MOST);
  expect(one.find("c0")).toBeUndefined();
  expect(one.find("c1")).toBeDefined();
  expect(list().entries.length).toBe(MOST);
});

test("tabs that store at the same time, in processes that see each other later, lose nothing", () => {
  // What a tab of another process sees: what was stored when it last looked, and its own changes.
  const late = new Map<string, string>();
  const behind = {
    getItem: (key: string) => late.get(key) ?? null,
    setItem: (key: string, value: string) => {
      late.set(key, value);
      localStorage.setItem(key, value);
    },
    removeItem: (key: string) => {
      late.delete(key);
      localStorage.removeItem(key);
    },
    key: (index: number) => [...late.keys()][index] ?? null,
    get length() {
      return late.size;
    },
  };
  const [one, other] = [list(), new ConversationList(new LocalStore("/", behind))];
  one.put("a", { at: 1 });
  other.put("b", { at: 2 });
  one.put("c", { at: 3 });
  expect(names(list().entries)).toEqual(["c", "b", "a"]);
});

test.each(["{", "null", "7", '{"a":1}', '"x"', "[]"])("a damaged entry (%s) is none", (text) => {
  localStorage.setItem(KEY, text);
  list().put("b", { at: 1 });
  expect(names(list().entries)).toEqual(["b"]);
});

test("what is not an entry's field is left out, and an entry under another's key", () => {
  const fields = { title: 7, at: "x", from: "a b", running: {}, more: 1 };
  localStorage.setItem(KEY, JSON.stringify({ name: "a", ...fields }));
  localStorage.setItem(`${KEY}b`, JSON.stringify({ name: "a", ...fields }));
  localStorage.setItem(`${KEY}..`, JSON.stringify({ name: "../x" }));
  expect(list().entries).toEqual([{ name: "a", title: "", at: 0 }]);
});

test("the list of an earlier version is taken over, once", () => {
  const whole = [null, 1, {}, { name: "../x" }, { name: "a", title: "old", at: 1 }, { name: "b", title: "B", at: 2 }];
  localStorage.setItem(KEY, JSON.stringify({ name: "a", title: "new", at: 3 }));
  localStorage.setItem(WHOLE, JSON.stringify(whole));
  expect(list().entries.map(({ title }) => title)).toEqual(["new", "B"]);
  expect(localStorage.getItem(WHOLE)).toBeNull();
  list().remove("b");
  expect(names(list().entries)).toEqual(["a"]);
});

test.each(["{", "null", "7", '{"a":1}', '"x"'])("a damaged list of an earlier version (%s) is an empty one", (text) => {
  localStorage.setItem(WHOLE, text);
  expect(list().entries).toEqual([]);
});

test("where nothing can be stored the list lives as long as the page", () => {
  const full = {
    getItem: () => null,
    setItem: () => {
      throw new DOMException("full", "QuotaExceededError");
    },
    removeItem: () => undefined,
    key: () => null,
    length: 0,
  };
  const one = new ConversationList(new LocalStore("/", full));
  one.put("a", { at: 1 });
  one.put("b", { at: 2 });
  expect(names(one.entries)).toEqual(["b", "a"]);
});

test("a list of another hub on the same origin is another list", () => {
  list().put("a", { at: 1 });
  expect(new ConversationList(new LocalStore("/hub/")).entries).toEqual([]);
});

test("forks stand under their source, the group with the latest news first", () => {
  const entries = [entry("fork2", 9, "fork"), entry("b", 8), entry("fork", 3, "a"), entry("a", 1), entry("orphan", 0, "gone")];
  expect(arranged(entries).map((one) => `${one.depth} ${one.entry.name}`)).toEqual([
    "0 a",
    "1 fork",
    "2 fork2",
    "0 b",
    "0 orphan",
  ]);
});

test("what is pinned stands above the rest, with its forks", () => {
  const entries = [entry("b", 9), entry("fork", 8, "a"), { ...entry("c", 3), pinned: true }, { ...entry("a", 1), pinned: true }];
  expect(arranged(entries).map((one) => `${one.depth} ${one.entry.name}`)).toEqual(["0 c", "0 a", "1 fork", "0 b"]);
});

test("forks that go in circles are all shown, once", () => {
  const entries = [entry("a", 3, "b"), entry("b", 2, "a"), entry("self", 1, "self")];
  expect(names(arranged(entries).map((one) => one.entry)).toSorted()).toEqual(["a", "b", "self"]);
});

test("a search goes by words, without case and accents", () => {
  const entries = [entry("Café au lait", 1), entry("CAFE", 2), entry("tea", 3)];
  expect(names(found(entries, "cafe"))).toEqual(["Café au lait", "CAFE"]);
  expect(names(found(entries, "lait CAF"))).toEqual(["Café au lait"]);
  expect(names(found([entry("Großer Fluss", 1)], "gross"))).toHaveLength(1);
  expect(names(found(entries, "  "))).toHaveLength(3);
});
