// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { HubError } from "../../src/client/hub.js";
import { HubChat } from "../../src/elements/hub-chat.js";
import { FakeHub } from "../fakehub.js";

let hub: FakeHub;
let chat: HubChat;

async function show(setup: (chat: HubChat) => void = () => undefined): Promise<void> {
  chat = new HubChat();
  chat.hub = hub;
  chat.stream = "S";
  setup(chat);
  document.body.append(chat);
  await settle();
}

/** Until every frame and update that is due has been. */
async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) {
    await new Promise((done) => requestAnimationFrame(done));
    await chat.updateComplete;
  }
}

function all(what: string): HTMLElement[] {
  return [...(chat.shadowRoot?.querySelectorAll<HTMLElement>(what) ?? [])];
}

function one(what: string): HTMLElement {
  const [found] = all(what);
  if (!found) throw new Error(`there is no ${what}`);
  return found;
}

const area = (): HTMLTextAreaElement => one("hub-composer textarea") as HTMLTextAreaElement;
const button = (name: string): HTMLButtonElement | undefined =>
  (all("button") as HTMLButtonElement[]).findLast(
    (found) => (found.getAttribute("aria-label") ?? found.textContent.trim()).startsWith(name),
  );
const text = (what: string): string => one(what).textContent.replace(/\s+/g, " ").trim();

function type(words: string): void {
  area().value = words;
  area().dispatchEvent(new Event("input", { bubbles: true }));
}

function press(key: string, more: KeyboardEventInit & { old?: number } = {}, on: HTMLElement = area()): KeyboardEvent {
  const { old, ...init } = more;
  const event = new KeyboardEvent("keydown", { key, bubbles: true, composed: true, cancelable: true, ...init });
  if (old !== undefined) Object.defineProperty(event, "keyCode", { value: old });
  on.dispatchEvent(event);
  return event;
}

const prompts = (): (string | undefined)[] => hub.asked.map(({ prompt }) => prompt);

beforeEach(() => {
  localStorage.clear();
  hub = new FakeHub();
});
afterEach(() => {
  chat.remove();
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

describe("sending", () => {
  it("asks once, empties the composer and keeps the focus", async () => {
    await show();
    const sent = vi.fn();
    chat.addEventListener("hub-sent", sent);
    type("hello");
    press("Enter");
    press("Enter");
    await settle();
    expect(prompts()).toEqual(["hello"]);
    expect(area().value).toBe("");
    expect(chat.shadowRoot?.activeElement).toBe(area());
    expect(sent).toHaveBeenCalledOnce();
    expect(text("hub-said")).toContain("hello");
  });

  it("is not what Enter means with Shift, in a composition, or right after one", async () => {
    await show();
    type("ni hao");
    expect(press("Enter", { shiftKey: true }).defaultPrevented).toBe(false);
    press("Enter", { isComposing: true });
    press("Enter", { old: 229 });
    await settle();
    expect(hub.asked).toEqual([]);
    press("Enter", { old: 13 });
    await settle();
    expect(prompts()).toEqual(["ni hao"]);
  });

  it("sends nothing when there is nothing", async () => {
    await show();
    type(" \n ");
    press("Enter");
    await settle();
    expect(hub.asked).toEqual([]);
    expect(button("Send")?.disabled).toBe(true);
  });

  it("keeps the text when refused, and the key when tried again", async () => {
    await show();
    hub.refusals.push(new HubError("busy", "too much runs", 429));
    type("hello");
    press("Enter");
    await settle();
    expect(area().value).toBe("hello");
    expect(text("[role=alert]")).toContain("Too much runs. Your text is kept.");
    press("Enter");
    await settle();
    expect(hub.asked[0]?.key).toBeTruthy();
    expect(hub.asked[1]?.key).toBe(hub.asked[0]?.key);
    expect(all("[role=alert]")).toEqual([]);
    hub.happen("S", { type: "finished", generation: "g1", reason: "stop" });
    type("hello");
    press("Enter");
    await settle();
    expect(hub.asked[2]?.key).not.toBe(hub.asked[0]?.key);
  });

  it("keeps what was typed while the hub was asked", async () => {
    await show();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    type("hello");
    press("Enter");
    await settle();
    type("hello and more");
    open();
    await settle();
    expect(area().value).toBe("and more");
  });

  it("waits for the end of an answer, and says so", async () => {
    await show();
    hub.happen("S", { type: "started", generation: "g", upstream: "demo" });
    await settle();
    type("next");
    press("Enter");
    await settle();
    expect(hub.asked).toEqual([]);
    expect(area().value).toBe("next");
    expect(text("#composer-hint")).toMatch(/wait for its end/);
    expect(await chat.send("next")).toBe(false);
  });

  it("begins a conversation where there is none", async () => {
    await show((made) => (made.stream = undefined));
    type("hello");
    press("Enter");
    await settle();
    expect(chat.stream).toMatch(/^chat-/);
    expect(hub.asked[0]?.stream).toBe(chat.stream);
    expect(text("hub-said")).toContain("hello");
    expect(area().value).toBe("");
  });
});

describe("stopping", () => {
  it("stops what another tab began, by Escape, and tells the page", async () => {
    await show();
    expect(press("Escape").defaultPrevented).toBe(false);
    hub.happen("S", { type: "started", generation: "g", upstream: "demo" });
    await settle();
    expect(press("Escape").defaultPrevented).toBe(true);
    await settle();
    expect(hub.cancelled).toEqual(["g"]);
    expect(text("hub-reply")).toContain("Stopped.");
    expect(button("Send")).toBeDefined();
  });

  it("stops what the hub is still being asked for", async () => {
    await show();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    type("hello");
    press("Enter");
    await settle();
    button("Stop")?.click();
    open();
    await settle();
    expect(hub.cancelled).toEqual(["g1"]);
    expect(text("hub-reply")).toContain("Stopped.");
  });

  it("can be tried again when it was refused", async () => {
    await show();
    hub.happen("S", { type: "started", generation: "g", upstream: "demo" });
    await settle();
    hub.refusals.push(new HubError("unreachable", "no", 0));
    button("Stop")?.click();
    await settle();
    expect(text("[role=alert]")).toMatch(/cannot be reached/);
    button("Stop")?.click();
    await settle();
    expect(hub.cancelled).toEqual(["g", "g"]);
    expect(button("Send")).toBeDefined();
  });
});

describe("another version", () => {
  const begun = async (): Promise<void> => {
    await show();
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "delta", generation: "a", text: "answer" },
      { type: "finished", generation: "a", reason: "stop" },
    );
    await settle();
  };

  it("of an answer is a fork with the same message, offered on both sides", async () => {
    await begun();
    button("Answer again")?.click();
    await settle();
    const fork = chat.stream ?? "";
    expect(fork).not.toBe("S");
    expect(hub.asked).toMatchObject([{ stream: fork, prompt: "one" }]);
    expect(text(".versions")).toBe("2/2");
    button("Previous version")?.click();
    await settle();
    expect(chat.stream).toBe("S");
    expect(text(".versions")).toBe("1/2");
    expect(text("hub-reply")).toContain("answer");
  });

  it("is where the page says, if it does", async () => {
    await begun();
    const told = vi.fn((event: Event) => {
      event.preventDefault();
    });
    chat.addEventListener("hub-fork", told);
    button("Answer again")?.click();
    await settle();
    expect(told).toHaveBeenCalledOnce();
    expect(chat.stream).toBe("S");
    expect(text(".versions")).toBe("1/2");
  });

  it("of a message is typed in its place", async () => {
    await begun();
    button("Edit")?.click();
    await settle();
    const editor = one(".editor textarea") as HTMLTextAreaElement;
    expect(editor.value).toBe("one");
    editor.value = "two";
    press("Enter", {}, editor);
    await settle();
    expect(prompts()).toEqual(["two"]);
    expect(text("hub-said")).toContain("two");
  });

  it("is stopped, though it is asked for in another place than where it comes", async () => {
    await begun();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    button("Answer again")?.click();
    await settle();
    button("Stop")?.click();
    open();
    await settle();
    expect(chat.stream).not.toBe("S");
    expect(hub.cancelled).toEqual(["g1"]);
    expect(text("hub-reply")).toContain("Stopped.");
  });

  it("does not call back who has gone elsewhere meanwhile", async () => {
    await begun();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    button("Answer again")?.click();
    await settle();
    chat.stream = "T";
    await settle();
    open();
    await settle();
    expect(chat.stream).toBe("T");
    expect(all("[role=alert]")).toEqual([]);
  });

  it("that is given up leaves all as it was", async () => {
    await begun();
    button("Edit")?.click();
    await settle();
    press("Escape", {}, one(".editor textarea"));
    await settle();
    expect(all(".editor")).toEqual([]);
    expect(hub.asked).toEqual([]);
  });

  it("that fails half-way is one version when it is tried again", async () => {
    await begun();
    const none = undefined as unknown as Error;
    hub.refusals.push(none, none, new HubError("busy", "busy", 429));
    button("Answer again")?.click();
    await settle();
    expect(chat.stream).toBe("S");
    expect(text("[role=alert]")).toContain("Busy.");
    button("Answer again")?.click();
    await settle();
    expect(text(".versions")).toBe("2/2");
    expect(hub.streams.size).toBe(2);
  });

  it("is not offered while an answer comes", async () => {
    await begun();
    hub.happen("S", { type: "started", generation: "b", upstream: "demo" });
    await settle();
    expect(button("Edit")).toBeUndefined();
    expect(button("Answer again")).toBeUndefined();
  });
});

describe("a reply", () => {
  it("that failed is tried again in place, with what was said before it", async () => {
    await show();
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "delta", generation: "a", text: "ha" },
      { type: "failed", generation: "a", code: "upstream_stalled", message: "silence" },
    );
    await settle();
    expect(text("hub-reply")).toMatch(/Silence\. upstream_stalled/);
    button("Retry")?.click();
    await settle();
    expect(hub.asked).toMatchObject([{ stream: "S", messages: [{ role: "user", content: "one" }] }]);
    expect(all("hub-reply")).toHaveLength(2);
    expect(button("Retry")).toBeUndefined();
  });

  it("alone is rendered when it alone changes", async () => {
    await show();
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "finished", generation: "a", reason: "stop" },
      { type: "started", generation: "b", upstream: "demo" },
    );
    await settle();
    const [over, running] = all("hub-reply") as unknown as [{ update(): void }, { update(): void }];
    const untouched = vi.spyOn(over, "update");
    const touched = vi.spyOn(running, "update");
    hub.happen("S", { type: "delta", generation: "b", text: "x" });
    hub.happen("S", { type: "delta", generation: "b", text: "y" });
    await settle();
    expect(untouched).not.toHaveBeenCalled();
    expect(touched).toHaveBeenCalledOnce();
  });

  it("keeps its thoughts as the reader left them", async () => {
    await show();
    hub.happen("S", { type: "started", generation: "a", upstream: "demo" }, { type: "delta", generation: "a", reasoning: "hm" });
    await settle();
    const details = one("details") as HTMLDetailsElement;
    expect(details.open).toBe(false);
    expect(text("summary")).toBe("Thinking…");
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    hub.happen("S", { type: "delta", generation: "a", reasoning: " well" }, { type: "delta", generation: "a", text: "so" });
    await settle();
    expect(details.open).toBe(true);
    expect(text(".thoughts")).toBe("hm well");
  });

  it("shows the tools that it asks for", async () => {
    await show();
    const long = JSON.stringify({ list: Array.from({ length: 30 }, (_, i) => i) });
    hub.happen(
      "S",
      { type: "started", generation: "a", upstream: "demo" },
      { type: "delta", generation: "a", tool: { index: 0, id: "x", name: "search", arguments: long } },
    );
    await settle();
    expect(text(".tool .name")).toBe("search");
    expect(one(".tool pre").textContent.split("\n")).toHaveLength(12);
    button("Show all")?.click();
    await settle();
    expect(one(".tool pre").textContent).toBe(JSON.stringify(JSON.parse(long), null, 2));
  });

  it("is told to screen readers", async () => {
    await show();
    hub.happen("S", { type: "started", generation: "a", upstream: "demo" });
    await settle();
    expect(one(".log").getAttribute("aria-busy")).toBe("true");
    hub.happen("S", { type: "delta", generation: "a", text: "All." }, { type: "finished", generation: "a", reason: "stop" });
    await settle();
    expect(text(".unseen")).toBe("Answering.All.The answer is complete.");
    expect(one(".log").getAttribute("aria-busy")).toBe("false");
  });
});

describe("the element", () => {
  it("is told to screen readers, also when it is over at once", async () => {
    await show();
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "failed", generation: "a", code: "x", message: "refused" },
    );
    await settle();
    expect(text(".unseen")).toBe("Refused.");
  });

  it("only shows, read-only", async () => {
    await show((made) => (made.readonly = true));
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "failed", generation: "a", code: "x", message: "y" },
    );
    await settle();
    expect(all("hub-composer")).toEqual([]);
    for (const name of ["Edit", "Retry", "Answer again", "Stop"]) expect(button(name)).toBeUndefined();
    expect(button("Copy")).toBeDefined();
    expect(await chat.send("x")).toBe(false);
    expect(press("Escape", {}, one(".log")).defaultPrevented).toBe(false);
  });

  it("leaves nothing behind, and comes back", async () => {
    await show();
    chat.remove();
    expect(hub.followers).toBe(0);
    document.body.append(chat);
    await settle();
    hub.happen("S", { type: "message", role: "user", text: "one" });
    await settle();
    expect(text("hub-said")).toContain("one");
  });

  it("follows nothing once it has left the page, whatever is still set", async () => {
    await show();
    chat.remove();
    chat.stream = "T";
    await settle();
    expect(hub.followers).toBe(0);
    hub.happen("T", { type: "message", role: "user", text: "two" });
    document.body.append(chat);
    await settle();
    expect(text("hub-said")).toContain("two");
  });

  it("keeps the draft of each conversation", async () => {
    await show();
    type("mine");
    chat.stream = "T";
    await settle();
    expect(area().value).toBe("");
    chat.stream = "S";
    await settle();
    expect(area().value).toBe("mine");
  });

  it("tells the others that one types, until sent", async () => {
    await show();
    type("h");
    type("he");
    press("Enter");
    await settle();
    expect(hub.told.map(({ state }) => state)).toEqual([{ typing: false }, { typing: true }, { typing: false }]);
    hub.company([{ member: "x", state: { typing: true }, self: false }]);
    await settle();
    expect(text(".company")).toBe("Somebody is typing…");
  });

  it("shows the connection unless the page does", async () => {
    await show();
    expect(all("hub-status")).toHaveLength(1);
    chat.noStatus = true;
    await settle();
    expect(all("hub-status")).toEqual([]);
  });

  it("says why it cannot be followed", async () => {
    await show();
    hub.fail("S", new HubError("not_json", "this is no conversation", 409));
    await settle();
    expect(text(".middle")).toBe("This is no conversation. not_json");
  });

  it("tells the page each state and status", async () => {
    await show();
    const state = vi.fn();
    const status = vi.fn();
    chat.addEventListener("hub-state", state);
    chat.addEventListener("hub-status", status);
    hub.happen("S", { type: "message", role: "user", text: "one" });
    hub.lag("S", 7);
    expect(state).toHaveBeenCalledOnce();
    expect(status.mock.calls[0]?.[0]).toMatchObject({ detail: { status: { state: "live" }, lag: 7 } });
  });

});
