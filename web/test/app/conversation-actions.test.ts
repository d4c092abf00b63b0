// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { entryChoices } from "../../src/app/conversation-actions.js";
import { ConversationList } from "../../src/app/conversation-list.js";
import { LocalStore } from "../../src/app/local-store.js";

const HUB = "http://h/hub/";
let list: ConversationList;
const left = vi.fn();

function choose(label: string): void {
  const entry = list.find("team/plans");
  if (!entry) throw new Error("the entry is gone");
  entryChoices(entry, list, HUB, left)
    .find((choice) => choice.label.startsWith(label))
    ?.run();
}

const press = (name: string): void => {
  const buttons = [...document.querySelectorAll<HTMLButtonElement>("dialog button")];
  buttons.find((button) => button.textContent === name)?.click();
};

beforeEach(() => {
  localStorage.clear();
  left.mockClear();
  document.body.innerHTML = '<p id="notice"></p>';
  list = new ConversationList(new LocalStore("/"));
  list.put("team/plans", { title: "Plans", at: 1 });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("removing asks nobody and leaves the conversation at the hub", () => {
  const asked = vi.fn();
  vi.stubGlobal("fetch", asked);
  choose("Remove");
  expect(list.entries).toEqual([]);
  expect(left).toHaveBeenCalledExactlyOnceWith("team/plans");
  expect(asked).not.toHaveBeenCalled();
});

test("deleting asks first; kept is kept", async () => {
  const asked = vi.fn();
  vi.stubGlobal("fetch", asked);
  choose("Delete");
  press("Keep it");
  await vi.waitFor(() => {
    expect(document.querySelector("dialog")).toBeNull();
  }, { timeout: 20_000 });
  expect(asked).not.toHaveBeenCalled();
  expect(list.entries).toHaveLength(1);
});

test.each([204, 404, 410])("answered with %i, it is gone", async (status) => {
  const asked = vi.fn(() => Promise.resolve(new Response(null, { status })));
  vi.stubGlobal("fetch", asked);
  choose("Delete");
  press("Delete");
  await vi.waitFor(() => {
    expect(left).toHaveBeenCalledExactlyOnceWith("team/plans");
  }, { timeout: 20_000 });
  expect(asked).toHaveBeenCalledExactlyOnceWith(new URL("http://h/hub/v1/stream/team/plans"), { method: "DELETE" });
  expect(list.entries).toEqual([]);
});

test.each([
  [() => Promise.reject(new TypeError("offline")), "the hub cannot be reached"],
  [() => Promise.resolve(Response.json({ error: { message: "It is busy." } }, { status: 409 })), "It is busy."],
  [() => Promise.resolve(Response.json({}, { status: 500 })), "the hub responded with status 500"],
])("what was not deleted stays in the list, and why is said", async (answer, why) => {
  vi.stubGlobal("fetch", answer);
  choose("Delete");
  press("Delete");
  await vi.waitFor(() => {
    expect(document.getElementById("notice")?.textContent).toBe(`It was not deleted: ${why}`);
  }, { timeout: 20_000 });
  expect(list.entries).toHaveLength(1);
  expect(left).not.toHaveBeenCalled();
});

test("what is pinned can be let go again", () => {
  choose("Pin");
  expect(list.find("team/plans")?.pinned).toBe(true);
  choose("Unpin");
  expect(list.find("team/plans")).not.toHaveProperty("pinned");
});

test("a name given by hand is kept as such", async () => {
  choose("Rename");
  const field = document.querySelector<HTMLInputElement>("dialog input");
  if (field) field.value = "  Better plans ";
  document.querySelector("dialog form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => {
    expect(list.find("team/plans")).toMatchObject({ title: "Better plans", named: true });
  }, { timeout: 20_000 });
});
