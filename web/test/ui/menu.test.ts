// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import * as icons from "../../src/ui/icons.js";
import { menuOpen, toggleMenu } from "../../src/ui/menu.js";

const run = vi.fn();
const choices = [
  { label: "One", icon: icons.link, run } as const,
  { label: "Two", icon: icons.eye, hint: "Second", run: () => undefined } as const,
  { label: "Three", icon: icons.trash, danger: true, run: () => undefined } as const,
];
let button: HTMLButtonElement;

const menu = (): HTMLElement | null => document.querySelector("[role=menu]");

function press(key: string): KeyboardEvent {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
  document.activeElement?.dispatchEvent(event);
  return event;
}

beforeEach(() => {
  // happy-dom has no popovers; the browser suite sees the real ones.
  HTMLElement.prototype.showPopover = () => undefined;
  run.mockClear();
  button = document.body.appendChild(document.createElement("button"));
  button.setAttribute("aria-label", "Share");
  button.focus();
  toggleMenu(button, choices);
});

afterEach(() => {
  if (menuOpen()) toggleMenu(button, choices);
  document.body.replaceChildren();
});

test("it opens with the focus on the first choice and is named like its button", () => {
  expect(menu()?.getAttribute("aria-label")).toBe("Share");
  expect(button.getAttribute("aria-expanded")).toBe("true");
  expect(document.activeElement?.textContent).toContain("One");
});

test("the arrows go round, Home and End go to the ends", () => {
  const visited = ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Home", "End"].map((key) => {
    press(key);
    return document.activeElement?.querySelector("span")?.textContent;
  });
  expect(visited).toEqual(["TwoSecond", "Three", "One", "Three", "One", "Three"]);
});

test.each(["Escape", "Tab"])("%s closes it and gives the focus back, and goes no further", (key) => {
  const event = press(key);
  expect(event.defaultPrevented).toBe(true);
  expect(menu()).toBeNull();
  expect(document.activeElement).toBe(button);
  expect(button.getAttribute("aria-expanded")).toBe("false");
});

test("a choice closes it and is done once", () => {
  (document.activeElement as HTMLElement).click();
  expect(run).toHaveBeenCalledOnce();
  expect(menu()).toBeNull();
  expect(document.activeElement).toBe(button);
});

test("a press elsewhere closes it, one on its own button is left to the button", () => {
  button.dispatchEvent(new Event("pointerdown", { bubbles: true }));
  expect(menuOpen()).toBe(true);
  document.body.dispatchEvent(new Event("pointerdown", { bubbles: true }));
  expect(menuOpen()).toBe(false);
});

test("the same button closes it, another one opens its own instead", () => {
  const other = document.body.appendChild(document.createElement("button"));
  toggleMenu(other, choices);
  expect(document.querySelectorAll("[role=menu]")).toHaveLength(1);
  expect(button.getAttribute("aria-expanded")).toBe("false");
  toggleMenu(other, choices);
  expect(menuOpen()).toBe(false);
});
