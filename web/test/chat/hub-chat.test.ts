// @vitest-environment happy-dom
import { describe, expect, it, vi } from "vitest";

import { HubError } from "../../src/protocol/errors.js";
import { all, area, button, chat, hub, one, press, prompts, settle, show, text, type } from "../support/shown.js";

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

  it("that succeeds tells a connection that waits that the hub is back", async () => {
    await show();
    type("one");
    press("Enter");
    await settle();
    expect(hub.retries).toBe(0);
    hub.happen("S", { type: "finished", generation: "g1", reason: "stop" });
    hub.become({ state: "offline", retryAt: Date.now() + 30_000, why: "" });
    await settle();
    type("two");
    press("Enter");
    await settle();
    expect(hub.retries).toBe(1);
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

  it("goes on with the next message when Send was pressed too early for it", async () => {
    await show();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    type("one");
    press("Enter");
    await settle();
    type("two");
    press("Enter");
    await settle();
    expect(text(".hint")).toContain("Sending");
    open();
    await settle();
    expect(prompts()).toEqual(["one", "two"]);
    expect(area().value).toBe("");
  });

  it("keeps its own key when one of another conversation was accepted meanwhile", async () => {
    await show();
    let openFirst: () => void = () => undefined;
    let openSecond: () => void = () => undefined;
    hub.gate = new Promise((done) => (openFirst = done));
    type("one");
    press("Enter");
    await settle();
    chat.stream = "T";
    await settle();
    hub.gate = new Promise((done) => (openSecond = done));
    type("two");
    press("Enter");
    await settle();
    openFirst();
    await settle();
    hub.refusals.push(new HubError("unreachable", "no", 0));
    openSecond();
    await settle();
    expect(hub.asked.map(({ prompt }) => prompt)).toEqual(["one", "two", "two"]);
    expect(hub.asked[2]?.key).toBe(hub.asked[1]?.key);
  });

  it("waits for another Send when more was typed since", async () => {
    await show();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    type("one");
    press("Enter");
    press("Enter");
    await settle();
    type("one and m");
    open();
    await settle();
    expect(prompts()).toEqual(["one"]);
    expect(area().value).toBe("and m");
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

  it("stops what runs, and not what is still being put behind it", async () => {
    await show();
    hub.happen("S", { type: "started", generation: "g", upstream: "demo" });
    await settle();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    type("next");
    press("Enter");
    await settle();
    press("Escape");
    open();
    await settle();
    expect(new Set(hub.cancelled)).toEqual(new Set(["g"]));
    expect(text("hub-queue .what")).toBe("next");
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

  it("says why the hub refuses it, instead of waiting for ever", async () => {
    await show();
    hub.become({ state: "closed", code: "revoked", message: "This token was revoked." });
    await settle();
    expect(text(".middle[role=alert]")).toBe("This token was revoked. revoked");
    chat.token = "secret";
    await settle();
    expect(chat.outerHTML).not.toContain("secret");
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
