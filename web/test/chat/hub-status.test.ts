// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { HubStatus } from "../../src/chat/hub-status.js";
import { FakeHub } from "../support/fake-hub.js";

let hub: FakeHub;
let shown: HubStatus;

const words = async (): Promise<string> => {
  await shown.updateComplete;
  return (shown.shadowRoot?.textContent ?? "").replace(/\s+/g, " ").trim();
};

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  hub = new FakeHub();
  shown = new HubStatus();
  shown.hub = hub;
  document.body.append(shown);
});
afterEach(() => {
  shown.remove();
  vi.useRealTimers();
});

describe("<hub-status>", () => {
  it("says each state in plain words", async () => {
    expect(await words()).toBe("Live");
    shown.lag = 1234;
    expect(await words()).toMatch(/^Catching up ?· 1,234 to go$/);
    hub.become({ state: "connecting" });
    expect(await words()).toBe("Connecting…");
    hub.become({ state: "closed", code: "x", message: "the hub said so" });
    expect(await words()).toBe("Closed: the hub said so");
  });

  it("counts down, and connects now when asked", async () => {
    hub.become({ state: "offline", retryAt: 1_003_000, why: "lost" });
    expect(await words()).toMatch(/^Offline ?· trying again in 3 s ?now$/);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await words()).toContain("in 2 s");
    await vi.advanceTimersByTimeAsync(5000);
    expect(await words()).toContain("trying now…");
    shown.shadowRoot?.querySelector("button")?.click();
    expect(hub.retries).toBe(1);
  });

  it("speaks the state to screen readers and not the countdown", async () => {
    hub.become({ state: "offline", retryAt: 1_003_000, why: "lost" });
    await words();
    expect(shown.shadowRoot?.querySelector("[role=status]")?.textContent).toBe("Offline");
  });

  it("leaves no timer and no listener behind", async () => {
    hub.become({ state: "offline", retryAt: 1_003_000, why: "lost" });
    await words();
    shown.remove();
    expect(vi.getTimerCount()).toBe(0);
    expect(hub.followers).toBe(0);
  });

  it("goes with the hub that it is given", async () => {
    await words();
    const other = new FakeHub();
    other.status = { state: "connecting" };
    shown.hub = other;
    expect(await words()).toBe("Connecting…");
    expect(hub.followers).toBe(0);
  });
});
