// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { FakeHub } from "../support/fake-hub.js";

const connected: { url: string; token: unknown; account: unknown; hub: FakeHub }[] = [];

vi.mock("../../src/client/hub.js", () => ({
  connect: (url: string, { token, account }: { token: unknown; account: unknown }) => {
    const hub = new FakeHub();
    connected.push({ url, token, account, hub });
    return hub;
  },
}));

const { UsedHub } = await import("../../src/chat/hubs.js");

const URL_OF_HUB = "http://hub.test/";
const closed = (): boolean[] => connected.map(({ hub }) => hub.status.state === "closed");

beforeEach(() => {
  vi.useFakeTimers();
  connected.length = 0;
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the hub of an element", () => {
  it("is the same for elements with the same token", () => {
    const token = (): string => "secret";
    const hubs = [undefined, undefined, token, token, "secret", "secret"].map((token) => new UsedHub().choose({ src: `${URL_OF_HUB}same`, token }));
    expect(new Set(hubs).size).toBe(3);
    expect(connected.map(({ token }) => token)).toEqual([undefined, token, "secret"]);
  });

  it("is another one for whomever else a cookie stands for", () => {
    const src = `${URL_OF_HUB}cookie`;
    const hubs = [undefined, "ann", "bob", "ann"].map((account) => new UsedHub().choose({ src, account }));
    expect(new Set(hubs).size).toBe(3);
    expect(hubs[1]).toBe(hubs[3]);
    expect(connected.map(({ account }) => account)).toEqual([undefined, "ann", "bob"]);
  });

  it("is closed after the last element with its token, but not at once", () => {
    const [one, two] = [new UsedHub(), new UsedHub()];
    const choice = { src: `${URL_OF_HUB}last`, token: "secret" };
    const first = one.choose(choice);
    two.choose(choice);
    one.release();
    one.release();
    vi.advanceTimersByTime(5_000);
    expect(closed()).toEqual([false]);
    two.release();
    // As when an element is moved in the page.
    expect(two.choose(choice)).toBe(first);
    vi.advanceTimersByTime(5_000);
    expect(closed()).toEqual([false]);
    two.choose({ ...choice, token: "next" });
    vi.advanceTimersByTime(5_000);
    expect(closed()).toEqual([true, false]);
    expect(one.choose(choice)).not.toBe(first);
  });

  it("stays open without a token, and is not that of a closed connection", () => {
    const used = new UsedHub();
    const first = used.choose({ src: `${URL_OF_HUB}open` });
    used.release();
    vi.advanceTimersByTime(5_000);
    expect(used.choose({ src: `${URL_OF_HUB}open` })).toBe(first);
    first.close();
    expect(used.choose({ src: `${URL_OF_HUB}open` })).not.toBe(first);
  });

  it("is the one that was given", () => {
    const hub = new FakeHub();
    expect(new UsedHub().choose({ hub, token: "secret" })).toBe(hub);
    expect(connected).toEqual([]);
  });
});
