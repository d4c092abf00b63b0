// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";

import { actionOf, type KeyAction, type KeyBindings, listenForKeys } from "../../src/app/keys.js";

/** What a key pressed at an element is found to ask for. */
function pressed(init: KeyboardEventInit, at: Element = document.body, singles = true): KeyAction | undefined {
  let action: KeyAction | undefined;
  const heard = (event: KeyboardEvent): void => {
    action = actionOf(event, singles);
  };
  document.addEventListener("keydown", heard);
  at.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, composed: true, cancelable: true, ...init }));
  document.removeEventListener("keydown", heard);
  return action;
}

beforeEach(() => {
  document.body.replaceChildren();
});

test.each([
  [{ key: "?", shiftKey: true }, "list"],
  [{ key: "n" }, "fresh"],
  [{ key: "N" }, "fresh"], // capitals lock
  [{ key: "/" }, "compose"],
  [{ key: "b" }, "sidebar"],
  [{ key: "k", ctrlKey: true }, "search"],
  [{ key: "ArrowUp", altKey: true }, "above"],
  [{ key: "ArrowDown", altKey: true }, "below"],
  [{ key: "Escape" }, "stop"],
] as const)("%j", (init, action) => {
  expect(pressed(init)).toBe(action);
});

test.each([
  { key: "n", ctrlKey: true },
  { key: "n", metaKey: true },
  { key: "n", altKey: true },
  { key: "N", shiftKey: true },
  { key: "n", repeat: true },
  { key: "n", isComposing: true },
  { key: "k", ctrlKey: true, altKey: true },
  { key: "ArrowUp" },
  { key: "Tab" },
  { key: "Enter" },
  { key: "toString" },
  { key: "ArrowLeft", altKey: true },
])("%j stays the browser's", (init) => {
  expect(pressed(init)).toBeUndefined();
});

test.each(["input", "textarea", "select"])("nobody who types in a %s sets anything off, but searching", (tag) => {
  const field = document.body.appendChild(document.createElement(tag));
  for (const key of ["?", "n", "/", "b", "Escape"]) expect(pressed({ key }, field)).toBeUndefined();
  expect(pressed({ key: "ArrowDown", altKey: true }, field)).toBeUndefined();
  expect(pressed({ key: "k", ctrlKey: true }, field)).toBe("search");
});

test("a field in the shadow of an element is a field", () => {
  const shadow = document.body.appendChild(document.createElement("div")).attachShadow({ mode: "open" });
  const field = shadow.appendChild(document.createElement("textarea"));
  expect(pressed({ key: "n" }, field)).toBeUndefined();
  expect(pressed({ key: "n" }, shadow.appendChild(document.createElement("button")))).toBe("fresh");
});

test("with keys alone switched off, only the others do something", () => {
  for (const key of ["?", "n", "/", "b"]) expect(pressed({ key }, document.body, false)).toBeUndefined();
  expect(pressed({ key: "Escape" }, document.body, false)).toBe("stop");
  expect(pressed({ key: "ArrowUp", altKey: true }, document.body, false)).toBe("above");
});

test("what an element has dealt with is not dealt with again", () => {
  const chat = document.body.appendChild(document.createElement("div"));
  chat.addEventListener("keydown", (event) => {
    event.preventDefault();
  });
  expect(pressed({ key: "Escape" }, chat)).toBeUndefined();
});

test("a key is kept from the browser only where it did something, and does nothing while busy", () => {
  let busy = false;
  const stop = vi.fn(() => false);
  const list = vi.fn();
  const none = vi.fn();
  const bindings: KeyBindings = { list, stop, fresh: none, search: none, compose: none, sidebar: none, above: none, below: none };
  listenForKeys(bindings, () => true, () => busy);
  const press = (key: string): boolean =>
    document.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true }));
  expect(press("Escape")).toBe(true);
  expect(stop).toHaveBeenCalledOnce();
  expect(press("?")).toBe(false);
  busy = true;
  expect(press("?")).toBe(true);
  expect(list).toHaveBeenCalledOnce();
});
