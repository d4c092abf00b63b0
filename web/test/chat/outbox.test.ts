// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test } from "vitest";

import { Outbox, WAITING } from "../../src/chat/outbox.js";

const URL = "http://hub/";
let told = 0;
const opened: Outbox[] = [];

function outbox(stream = "chat"): Outbox {
  const one = new Outbox(URL, stream, () => {
    told++;
  });
  opened.push(one);
  return one;
}

const texts = (of: Outbox): string[] => of.prompts.map(({ text }) => text);

beforeEach(() => {
  localStorage.clear();
  told = 0;
});

afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

test("prompts wait in the order in which they were written, and are there after a reload", () => {
  const one = outbox();
  for (const text of ["c", "a", "b"]) expect(one.add(text)).toBe(true);
  expect(texts(outbox())).toEqual(["c", "a", "b"]);
  expect(told).toBe(3);
});

test("a prompt that is edited keeps its place and gets another key", () => {
  const one = outbox();
  for (const text of ["a", "b", "c"]) one.add(text);
  const [, second] = one.prompts;
  one.edit(second?.key ?? "", "B");
  expect(texts(one)).toEqual(["a", "B", "c"]);
  expect(one.prompts[1]?.key).not.toBe(second?.key);
  one.edit("gone", "nothing");
  expect(texts(one)).toEqual(["a", "B", "c"]);
});

test("each prompt has a key of its own, so that tabs do not undo each other's changes", () => {
  const one = outbox();
  one.add("a", undefined, "k1");
  one.add("b", "branch", "k2");
  expect(Object.keys(localStorage).toSorted()).toEqual([`hub-outbox ${URL} chat k1`, `hub-outbox ${URL} chat k2`]);
  one.remove("k1");
  expect(texts(outbox())).toEqual(["b"]);
});

test("the prompts of another conversation are others, however alike the names", () => {
  outbox("chat").add("here");
  expect(texts(outbox("chat/2"))).toEqual([]);
  expect(texts(outbox("cha"))).toEqual([]);
});

test("there is a limit, and what cannot be stored is refused", () => {
  const one = outbox();
  for (let number = 0; number < WAITING; number++) expect(one.add(`${number}`)).toBe(true);
  expect(one.add("too many")).toBe(false);
  expect(one.prompts).toHaveLength(WAITING);
});

test.each(["{", "null", "7", "[]", '{"key":1,"text":"x"}'])("a damaged prompt (%s) is none", (text) => {
  localStorage.setItem(`hub-outbox ${URL} chat k`, text);
  expect(texts(outbox())).toEqual([]);
});

test("a tab is told what another one changed, and when everything was cleared", () => {
  const one = outbox();
  for (const key of [`hub-outbox ${URL} chat k`, null]) dispatchEvent(new StorageEvent("storage", { key }));
  dispatchEvent(new StorageEvent("storage", { key: `hub-outbox ${URL} other k` }));
  expect(told).toBe(2);
  one.close();
  dispatchEvent(new StorageEvent("storage", { key: null }));
  expect(told).toBe(2);
});
