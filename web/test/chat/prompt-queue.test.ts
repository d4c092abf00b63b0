// @vitest-environment happy-dom
import { afterEach, describe, expect, it } from "vitest";

import { HubError } from "../../src/protocol/errors.js";
import { all, area, button, chat, hub, press, prompts, settle, show, text, type } from "../support/shown.js";

afterEach(() => {
  localStorage.clear();
});

const rows = (): string[] => all("hub-queue .what").map((one) => one.textContent);

/** A conversation in which a reply runs and two prompts wait. */
async function waiting(): Promise<void> {
  await show();
  for (const prompt of ["one", "two", "three"]) {
    type(prompt);
    press("Enter");
    await settle();
  }
}

function click(label: string): void {
  button(label)?.click();
}

describe("writing while an answer runs", () => {
  it("lets prompts wait, and leaves Stop where it is", async () => {
    await waiting();
    expect(hub.asked.map(({ when_busy }) => when_busy)).toEqual(["queue", "queue", "queue"]);
    expect(rows()).toEqual(["two", "three"]);
    expect(area().value).toBe("");
    expect(text("hub-queue")).toContain("Next, when the answer is complete");
    expect(button("Stop (Esc)")).toBeTruthy();
    expect(button("Send next")).toBeFalsy();
    type("more");
    await settle();
    expect(button("Send next")).toBeTruthy();
  });

  it("moves, sends and drops them", async () => {
    await waiting();
    expect(button("Move up: two")?.disabled).toBe(true);
    click("Move down: two");
    click("Stop and send now: three");
    await settle();
    expect(hub.changes).toEqual([["g2", { place: 2 }], ["g3", { now: true }]]);
    click("Drop: two");
    await settle();
    expect(hub.cancelled).toEqual(["g2"]);
    expect(rows()).toEqual(["three"]);
  });

  it("edits them", async () => {
    await waiting();
    click("Edit: two");
    await settle();
    const field = chat.shadowRoot?.querySelector<HTMLTextAreaElement>("hub-queue textarea");
    expect(field?.value).toBe("two");
    if (field) field.value = "two and a half";
    click("Save");
    await settle();
    expect(hub.changes).toEqual([["g2", { prompt: "two and a half" }]]);
  });

  it("says that they are held, and nothing of one that has begun meanwhile", async () => {
    await waiting();
    hub.happen("S", { type: "cancelled", generation: "g1", held: true } as never);
    await settle();
    expect(text("hub-queue")).toContain("Held back");
    hub.refusals.push(new HubError("not_queued", "it has begun", 409));
    click("Send now: two");
    await settle();
    expect(all("[role=alert]")).toEqual([]);
  });
});

describe("writing while offline", () => {
  it("keeps prompts in this browser, and sends each once when the hub is back", async () => {
    await show();
    hub.become({ state: "offline", retryAt: 0, why: "" });
    for (const prompt of ["one", "two", "three"]) {
      type(prompt);
      press("Enter");
      await settle();
    }
    expect(hub.asked).toEqual([]);
    expect(rows()).toEqual(["one", "two", "three"]);
    expect(text("hub-queue")).toContain("Sent when the hub can be reached again");
    click("Drop: two");
    await settle();
    hub.refusals.push(new HubError("unreachable", "no"));
    hub.become({ state: "live", via: "websocket" });
    await settle();
    expect(rows()).toEqual(["one", "three"]);
    const [{ key } = {}] = hub.asked;
    hub.become({ state: "live", via: "websocket" });
    await settle();
    expect(hub.asked[1]?.key).toBe(key);
    expect(prompts()).toEqual(["one", "one", "three"]);
    expect(rows()).toEqual(["three"]);
    expect(text("hub-queue")).not.toContain("Not sent yet");
  });

  it("keeps a prompt that does not reach the hub, under the same key", async () => {
    await show();
    hub.refusals.push(new HubError("unreachable", "no"));
    type("one");
    press("Enter");
    await settle();
    expect(area().value).toBe("");
    expect(all("[role=alert]")).toEqual([]);
    await settle();
    expect(hub.asked.length).toBe(2);
    expect(hub.asked[1]?.key).toBe(hub.asked[0]?.key);
    expect(rows()).toEqual([]);
  });

  it("keeps what one account has written from another", async () => {
    await show((one) => (one.account = "ann"));
    hub.become({ state: "offline", retryAt: 0, why: "" });
    type("mine");
    press("Enter");
    await settle();
    expect(rows()).toEqual(["mine"]);
    chat.remove();
    await show((one) => (one.account = "bob"));
    await settle();
    expect(rows()).toEqual([]);
    expect(hub.asked).toEqual([]);
  });

  it("keeps it from another though it is known later who it is, or never", async () => {
    await show((one) => (one.token = () => Promise.resolve("ann")));
    hub.become({ state: "offline", retryAt: 0, why: "" });
    type("mine");
    press("Enter");
    await settle();
    expect(rows()).toEqual(["mine"]);
    for (const [who, rest] of [["bob", []], [new Error("no token"), []], ["ann", ["mine"]]] as const) {
      chat.remove();
      await show((one) => (one.token = () => (typeof who === "string" ? Promise.resolve(who) : Promise.reject(who))));
      await settle();
      expect(rows()).toEqual(rest);
    }
  });

  it("sends nothing that another user of the page has written", async () => {
    let user = "ann";
    await show((one) => (one.token = () => Promise.resolve(user)));
    hub.become({ state: "offline", retryAt: 0, why: "" });
    type("mine");
    press("Enter");
    await settle();
    user = "bob";
    hub.become({ state: "live", via: "websocket" });
    await settle();
    expect(hub.asked).toEqual([]);
    expect(rows()).toEqual([]);
  });

  it("keeps what is typed before it is known whose it is", async () => {
    let known!: (user: string) => void;
    const token = new Promise<string>((found) => (known = found));
    await show((one) => (one.token = () => token));
    type("early");
    known("ann");
    await settle();
    expect(area().value).toBe("early");
    press("Enter");
    await settle();
    expect(area().value).toBe("");
    expect(hub.asked.length).toBe(1);
  });
});
