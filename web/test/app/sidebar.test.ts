// @vitest-environment happy-dom
import { render } from "lit";
import { beforeEach, expect, test, vi } from "vitest";

import { ANYBODY } from "../../src/app/account.js";
import type { Entry } from "../../src/app/conversation-list.js";
import { SHOWN, sidebar, type SidebarCallbacks, type SidebarState } from "../../src/app/sidebar.js";

const callbacks = new Proxy({} as Record<string, ReturnType<typeof vi.fn>>, {
  get: (held, name: string) => (held[name] ??= vi.fn()),
});
const entries = (count: number): Entry[] => Array.from({ length: count }, (_, i) => ({ name: `c${i}`, title: `Title ${i}`, at: count - i }));

let place: HTMLElement;

function draw(changes: Partial<SidebarState>): void {
  const state: SidebarState = {
    entries: [], current: undefined, query: undefined, most: SHOWN, messages: undefined, theme: "system", account: ANYBODY, now: new Date(0),
  };
  render(sidebar({ ...state, ...changes }, callbacks as unknown as SidebarCallbacks), place);
}

const texts = (selector: string): (string | undefined)[] =>
  [...document.querySelectorAll(selector)].map((one) => one.textContent.replace(/\s+/g, " ").trim());

beforeEach(() => {
  place = document.createElement("div");
  place.id = "sidebar";
  document.body.replaceChildren(place);
  vi.clearAllMocks();
});

test("a long list is shown in portions, and says how many there are", () => {
  draw({ entries: entries(SHOWN + 30) });
  expect(texts(".list li")).toHaveLength(SHOWN);
  const [button] = document.querySelectorAll<HTMLButtonElement>(".entries > .plain");
  expect(button?.textContent).toBe("Show 30 more");
  button?.click();
  expect(callbacks.more).toHaveBeenCalledOnce();
  draw({ entries: entries(3 * SHOWN) });
  expect(texts(".entries > .plain")).toEqual(["Show 100 of 200 more"]);
  draw({ entries: entries(SHOWN + 30), most: 2 * SHOWN });
  expect(texts(".list li")).toHaveLength(SHOWN + 30);
  expect(texts(".entries > .plain")).toEqual([]);
});

test("what is pinned says so by name", () => {
  draw({ entries: [{ name: "c", title: "Rivers", at: 0, pinned: true }] });
  expect(document.querySelector(".list [role=img]")?.getAttribute("aria-label")).toBe("Pinned:");
});

test("where the list is from is said while it is empty", () => {
  draw({});
  expect(texts(".empty")).toEqual(["Conversations you take part in are listed here, in this browser."]);
  draw({ account: { ...ANYBODY, conversations: "__lists/a" } });
  expect(texts(".empty")).toEqual(["Conversations you take part in are listed here, on all your devices."]);
});

test("messages are searched when asked, and which were is said", () => {
  const excerpt = { before: "the ", match: "river", after: " bank" };
  const hit = { entry: { name: "c1", title: "Title 1", at: 1 }, excerpt };
  draw({ entries: entries(3) });
  expect(texts(".messages")).toEqual([]);
  draw({ entries: entries(3), query: "river" });
  document.querySelector<HTMLButtonElement>(".messages .plain")?.click();
  expect(callbacks.searchMessages).toHaveBeenCalledOnce();
  draw({ entries: entries(3), query: "river", messages: { hits: [], searched: 1, all: 3, running: true } });
  expect(texts("[role=status]")).toEqual(["Searching what was said…"]);
  draw({ entries: entries(3), query: "river", messages: { hits: [hit], searched: 3, all: 3, running: false } });
  expect(texts("[role=status]")).toEqual(["Found in 1 of 3 conversations:"]);
  expect(texts(".hits a")).toEqual(["Title 1 the river bank"]);
  draw({ entries: entries(3), query: "sea", messages: { hits: [], searched: 100, all: 150, running: false } });
  expect(texts("[role=status]")).toEqual(["No message in the latest 100 of 150 conversations has these words."]);
  expect(texts(".messages .plain")).toEqual(["Search 50 older"]);
});

test("Enter opens the first title, or searches messages where no title fits", () => {
  const enter = (): void => {
    document.querySelector("#search")?.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true }));
  };
  draw({ entries: entries(3), query: "title 1" });
  enter();
  expect(callbacks.chosen).toHaveBeenCalledOnce();
  expect(callbacks.searchMessages).not.toHaveBeenCalled();
  draw({ entries: entries(3), query: "nowhere" });
  enter();
  expect(callbacks.searchMessages).toHaveBeenCalledOnce();
});
