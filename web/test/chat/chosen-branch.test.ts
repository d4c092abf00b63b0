// @vitest-environment happy-dom
import { beforeEach, expect, it, vi } from "vitest";

import { ChosenBranch, MOST } from "../../src/chat/chosen-branch.js";

beforeEach(() => {
  localStorage.clear();
});

it("is kept for each conversation of a hub", () => {
  new ChosenBranch("http://hub/", "a").choose("one");
  new ChosenBranch("http://hub/", "a").choose("two");
  new ChosenBranch("http://hub/", "b").choose("three");
  expect(new ChosenBranch("http://hub/", "a").name).toBe("two");
  expect(new ChosenBranch("http://hub/", "b").name).toBe("three");
  expect(new ChosenBranch("http://other/", "a").name).toBeUndefined();
  expect(new ChosenBranch("http://hub/", "a", "of a link").name).toBe("of a link");
  expect(new ChosenBranch("http://hub/", "a").name).toBe("two");
});

it("is forgotten once there are too many, the oldest first", () => {
  for (let number = 0; number <= MOST; number++) new ChosenBranch("http://hub/", `s${number}`).choose("x");
  expect(new ChosenBranch("http://hub/", "s0").name).toBeUndefined();
  expect(new ChosenBranch("http://hub/", "s1").name).toBe("x");
});

it("survives what others have stored in its place", () => {
  for (const damaged of ["{", "7", "null", '{"name":7}']) {
    localStorage.setItem("hub-branch http://hub/ a", damaged);
    expect(new ChosenBranch("http://hub/", "a").name).toBeUndefined();
  }
  const branch = new ChosenBranch("http://hub/", "a");
  branch.choose("one");
  expect(branch.name).toBe("one");
  expect(new ChosenBranch("http://hub/", "a").name).toBe("one");
});

it("writes nothing of other conversations, which another tab may be changing", () => {
  new ChosenBranch("http://hub/", "a").choose("one");
  const setItem = vi.fn();
  vi.stubGlobal("localStorage", { length: 1, key: () => "hub-branch http://hub/ a", getItem: () => null, setItem });
  new ChosenBranch("http://hub/", "b").choose("two");
  vi.unstubAllGlobals();
  expect(setItem.mock.calls.map(([key]: unknown[]) => key)).toEqual(["hub-branch http://hub/ b"]);
});
