// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";

import { FakeHub } from "../support/fake-hub.js";
import "../../src/chat/hub-stream.js";

// DOMPurify does not run on this DOM; the wall itself is proved in a real browser.
vi.mock("../../src/markdown/sanitize.js", () => ({
  sanitize(html: string): DocumentFragment {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  },
}));

afterEach(() => {
  document.body.replaceChildren();
});

async function follow(hub: FakeHub, format: "markdown" | "plain" = "markdown"): Promise<ShadowRoot> {
  const element = document.createElement("hub-stream");
  element.stream = "one";
  element.format = format;
  element.hub = hub;
  document.body.append(element);
  await element.updateComplete;
  if (element.shadowRoot === null) throw new Error("no shadow root");
  return element.shadowRoot;
}

async function answer(hub: FakeHub, generation: string, text: string): Promise<void> {
  await hub.append("one", { type: "started", generation, upstream: "demo" });
  await hub.append("one", { type: "delta", generation, text });
  await hub.append("one", { type: "finished", generation, reason: "stop" });
}

test("each answer is a section; what people asked is left out", async () => {
  const hub = new FakeHub();
  const root = await follow(hub);
  await hub.append("one", { type: "message", role: "user", text: "question" });
  await answer(hub, "a", "**first**");
  await answer(hub, "b", "second");
  await vi.waitFor(() => {
    expect([...root.querySelectorAll(".hub-markdown")].map((node) => node.innerHTML)).toEqual([
      '<p dir="auto"><strong>first</strong></p>',
      '<p dir="auto">second</p>',
    ]);
  }, { timeout: 20_000 });
  expect(root.textContent).not.toContain("question");
});

test("plain text stays as it is", async () => {
  const hub = new FakeHub();
  const root = await follow(hub, "plain");
  await answer(hub, "a", "**first** <b>");
  await vi.waitFor(() => {
    expect(root.querySelector(".plain")?.textContent).toBe("**first** <b>");
  }, { timeout: 20_000 });
});

test("it begins where it is told", async () => {
  const hub = new FakeHub();
  await answer(hub, "a", "first");
  const element = document.createElement("hub-stream");
  Object.assign(element, { stream: "one", from: "0000000000000000_0000000000000003", hub });
  document.body.append(element);
  await answer(hub, "b", "second");
  await vi.waitFor(() => {
    expect(element.shadowRoot?.querySelector("[part=text]")?.textContent.trim()).toBe("second");
  }, { timeout: 20_000 });
});

test("it says how it stands, and leaves the hub with the page", async () => {
  const hub = new FakeHub();
  const root = await follow(hub);
  hub.become({ state: "offline", retryAt: 0, why: "gone" });
  await vi.waitFor(() => {
    expect(root.querySelector("[part=status]")?.textContent).toContain("Offline");
  }, { timeout: 20_000 });
  expect(hub.followers).toBeGreaterThan(0);
  document.body.replaceChildren();
  expect(hub.followers).toBe(0);
});

test("a refusal is said, and told to the page", async () => {
  const hub = new FakeHub();
  const statuses: unknown[] = [];
  const told = (event: Event): void => void statuses.push((event as CustomEvent).detail);
  document.addEventListener("hub-status", told);
  const root = await follow(hub);
  const status = { state: "closed", code: "revoked", message: "This token was revoked." } as const;
  hub.become(status);
  await vi.waitFor(() => {
    expect(root.querySelector("[part=status]")?.textContent).toBe("This token was revoked.");
  }, { timeout: 20_000 });
  document.removeEventListener("hub-status", told);
  expect(statuses).toEqual([{ status: { state: "live", via: "websocket" } }, { status }]);
});

test("the token is in no attribute", async () => {
  const element = document.createElement("hub-stream");
  element.setAttribute("token", "from-an-attribute");
  element.token = "secret";
  element.hub = new FakeHub();
  document.body.append(element);
  await element.updateComplete;
  expect(element.token).toBe("secret");
  expect(element.outerHTML).not.toContain("secret");
});
