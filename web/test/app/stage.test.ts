// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";

import { ANYBODY } from "../../src/app/account.js";
import { outlineOf, Stage } from "../../src/app/stage.js";
import type { Hub } from "../../src/client/hub.js";
import { type AssistantMessage, type ChatMessage, EMPTY, type State } from "../../src/model/conversation.js";

/** What the page uses of <hub-chat>. */
class Chat extends HTMLElement {
  readonly = false;
  updateComplete = Promise.resolve(true);
  stop = vi.fn();
  send = vi.fn();
  focusComposer = vi.fn();
}
customElements.define("hub-chat", Chat);

const hub = {} as Hub;
const said: ChatMessage = { kind: "message", role: "user", text: "Hi", before: "p0" };
const reply: AssistantMessage = {
  kind: "reply",
  before: "p1",
  generation: "g",
  upstream: "demo",
  text: "",
  reasoning: "",
  tools: [],
  refusal: false,
  state: "running",
};
const running: State = { ...EMPTY, turns: [said, reply], running: ["g"] };

let place: HTMLElement;
let stage: Stage;
const told = { changed: vi.fn(), lagged: vi.fn(), forked: vi.fn() };

const chat = (): Chat | null => place.querySelector<Chat>("hub-chat");
const tell = (element: Element | null, name: string, detail: unknown): boolean | undefined =>
  element?.dispatchEvent(new CustomEvent(name, { detail, cancelable: true }));

beforeEach(() => {
  vi.clearAllMocks();
  place = document.body.appendChild(document.createElement("main"));
  stage = new Stage(place, hub, document.createElement("select"), ANYBODY, told);
  stage.show({ kind: "conversation", name: "one" }, "demo");
});

test("an address shows its conversation, with the picker and the greeting in their slots", () => {
  expect(chat()).toMatchObject({ hub, stream: "one", readonly: false, upstream: "demo", noStatus: true });
  expect(Array.from(chat()?.children ?? [], (child) => child.slot)).toEqual(["tools", "empty"]);
});

test("an example is said when it is pressed", () => {
  chat()?.querySelector("button")?.click();
  expect(chat()?.send).toHaveBeenCalledExactlyOnceWith("Show me around");
});

test("to read only there is nothing to say or to stop", () => {
  stage.show({ kind: "view", name: "one" }, "demo");
  expect(chat()?.readonly).toBe(true);
  expect(chat()?.children).toHaveLength(0);
  tell(chat(), "hub-state", { state: running });
  expect(stage.compose()).toBe(false);
  expect(stage.stop()).toBe(false);
});

test("while an answer grows the page is told once", () => {
  tell(chat(), "hub-state", { state: running });
  for (let n = 1; n < 100; n++) {
    tell(chat(), "hub-state", { state: { ...running, turns: [said, { ...reply, text: "x".repeat(n) }] } });
  }
  expect(told.changed).toHaveBeenCalledOnce();
  expect((stage.state.turns[1] as AssistantMessage).text).toHaveLength(99);
  tell(chat(), "hub-state", { state: { ...running, running: [] } });
  expect(told.changed).toHaveBeenCalledTimes(2);
});

test("what a conversation says after it was left is not heard", () => {
  const left = chat();
  stage.show({ kind: "conversation", name: "two" }, "demo");
  expect(place.querySelectorAll("hub-chat")).toHaveLength(1);
  tell(left, "hub-state", { state: running });
  tell(left, "hub-fork", { stream: "three" });
  tell(left, "hub-status", { lag: 3 });
  expect(stage.state).toBe(EMPTY);
  expect(told.changed).not.toHaveBeenCalled();
  expect(told.forked).not.toHaveBeenCalled();
  expect(told.lagged).not.toHaveBeenCalledWith(3);
});

test("a fork is gone to by the page, not by the element", () => {
  const arrival = { position: "p", top: 40, step: "on" };
  expect(tell(chat(), "hub-fork", { stream: "three", arrival })).toBe(false);
  expect(told.forked).toHaveBeenCalledExactlyOnceWith("three", arrival);
});

test("only what runs is stopped", () => {
  expect(stage.stop()).toBe(false);
  tell(chat(), "hub-state", { state: running });
  expect(stage.stop()).toBe(true);
  expect(chat()?.stop).toHaveBeenCalledOnce();
});

test("no conversation at an address is said plainly, and is left again", () => {
  stage.show({ kind: "unknown", what: "<img src=x>" }, "demo");
  expect(chat()).toBeNull();
  expect(place.textContent).toContain("no conversation at this address");
  expect(stage.compose()).toBe(false);
  stage.show({ kind: "conversation", name: "one" }, undefined);
  expect(chat()).not.toBeNull();
  expect(place.textContent).not.toContain("no conversation");
});

test("the outline tells apart what the page shows", () => {
  const outlines = [
    EMPTY,
    running,
    { ...running, running: [] },
    { ...running, closed: true },
    { ...running, turns: [said, { ...reply, model: "m" }] },
    { ...running, branches: [{ type: "branch", to: "b", position: "p1" } as const] },
  ].map(outlineOf);
  expect(new Set(outlines).size).toBe(outlines.length);
});
