// @vitest-environment happy-dom
/** Devices of one user, each with a list and storage of its own, and the stream that they share. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ConversationList } from "../../src/app/conversation-list.js";
import { ListSync } from "../../src/app/list-sync.js";
import { LocalStore } from "../../src/app/local-store.js";
import { HubError } from "../../src/protocol/errors.js";
import type { HubEvent } from "../../src/protocol/events.js";
import { at, ZERO } from "../../src/protocol/position.js";
import { FakeHub } from "../support/fake-hub.js";

const STREAM = "__lists/a";
const DAY = 86_400_000;
let hub: FakeHub;

class Device {
  list: ConversationList;

  constructor(readonly storage: Map<string, string>) {
    const backing = {
      getItem: (key: string) => storage.get(key) ?? null,
      setItem: (key: string, value: string) => void storage.set(key, value),
      removeItem: (key: string) => void storage.delete(key),
      key: (index: number) => [...storage.keys()][index] ?? null,
      get length() { return storage.size; },
    };
    this.list = new ConversationList(new LocalStore("/@ann", backing), true);
  }

  sync(): this {
    new ListSync(this.list, hub, STREAM).start();
    // The fake tells the lag by hand.
    if (hub.streams.has(STREAM)) hub.lag(STREAM, 0);
    return this;
  }

  get titles(): string[] {
    return this.list.entries.map(({ title, pinned }) => (pinned ? `${title} pinned` : title));
  }
}

const device = (storage = new Map<string, string>()): Device => new Device(storage);
const told = (): readonly Record<string, unknown>[] => (hub.streams.get(STREAM) ?? []) as unknown as readonly Record<string, unknown>[];
const happen = (event: Record<string, unknown>): void => void hub.happen(STREAM, { type: "conversation", ...event } as unknown as HubEvent);

/** What was begun by now has happened. */
const settled = (): Promise<void> => new Promise((done) => { setTimeout(done); });

beforeEach(() => {
  hub = new FakeHub();
  vi.stubGlobal("fetch", vi.fn(() => {
    hub.happen(STREAM);
    return Promise.resolve(new Response(null, { status: 201 }));
  }));
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("what the browser had before is there on the other devices, and what they begin is here", async () => {
  const one = device();
  one.list.put("c/old", { title: "Old", at: DAY });
  one.sync();
  await settled();
  expect(fetch).toHaveBeenCalledExactlyOnceWith(new URL(`http://hub.test/v1/stream/${STREAM}`), expect.objectContaining({ method: "PUT" }));
  const other = device().sync();
  expect(other.titles).toEqual(["Old"]);
  other.list.put("c/new", { title: "New", at: 2 * DAY });
  await settled();
  expect(one.titles).toEqual(["New", "Old"]);
  expect(told()).toHaveLength(2);
});

test("a rename and a pin on two devices do not undo each other", async () => {
  const [one, other] = [device().sync(), device().sync()];
  one.list.put("c/1", { title: "A question", at: DAY });
  await settled();
  one.list.put("c/1", { title: "Rivers", named: true });
  other.list.put("c/1", { pinned: true });
  await settled();
  for (const { list, titles } of [one, other, device().sync()]) {
    expect(titles).toEqual(["Rivers pinned"]);
    expect(list.find("c/1")?.named).toBe(true);
  }
  other.list.put("c/1", { pinned: undefined });
  await settled();
  expect(one.titles).toEqual(["Rivers"]);
});

test("what was changed offline is sent later, and not undone by what came meanwhile", async () => {
  const storage = new Map<string, string>();
  const away = device(storage).sync();
  const other = device().sync();
  away.list.put("c/1", { title: "One", at: DAY });
  away.list.put("c/2", { title: "Two", at: DAY + 1 });
  await settled();
  const offline = device(storage);
  offline.list.put("c/1", { title: "One, renamed", named: true });
  offline.list.remove("c/2");
  other.list.put("c/1", { pinned: true });
  other.list.put("c/2", { pinned: true });
  await settled();
  const back = device(storage).sync();
  await settled();
  expect(back.titles).toEqual(["One, renamed pinned"]);
  expect(other.titles).toEqual(["One, renamed pinned"]);
  expect(device().sync().titles).toEqual(["One, renamed pinned"]);
});

test("an append that fails is made once the hub is back", async () => {
  const one = device().sync();
  hub.refusals.push(new HubError("unreachable", "away"));
  one.list.put("c/1", { title: "One", at: DAY });
  await settled();
  expect(told()).toEqual([]);
  hub.become({ state: "live", via: "websocket" });
  await settled();
  expect(told()).toMatchObject([{ stream: "c/1", title: "One", at: new Date(DAY).toISOString() }]);
});

test("what is removed goes everywhere, and comes back only if something is said there", async () => {
  const [one, other] = [device().sync(), device().sync()];
  one.list.put("c/1", { title: "One", at: DAY, pinned: true });
  await settled();
  other.list.remove("c/1");
  await settled();
  expect(one.titles).toEqual([]);
  expect(one.list.find("c/1")).toBeUndefined();
  one.list.put("c/1", { title: "One", at: 2 * DAY });
  await settled();
  expect(other.titles).toEqual(["One"]);
});

test("what is removed while it is being sent is removed", async () => {
  const one = device().sync();
  let open = (): void => undefined;
  hub.gate = new Promise((done) => { open = done; });
  one.list.put("c/1", { title: "One", at: DAY });
  one.list.remove("c/1");
  open();
  await settled();
  expect(one.titles).toEqual([]);
  expect(device().sync().titles).toEqual([]);
});

test("a browser goes on from where it has heard the list", () => {
  const storage = new Map<string, string>();
  const one = device(storage).sync();
  happen({ stream: "c/1", title: "One", at: "2026-01-01T00:00:00Z" });
  expect(one.titles).toEqual(["One"]);
  const apply = vi.spyOn(ConversationList.prototype, "apply");
  expect(device(storage).sync().titles).toEqual(["One"]);
  expect(apply).not.toHaveBeenCalled();
  apply.mockRestore();
});

test("a tab that is behind another one takes nothing back", () => {
  const one = device();
  const change = (offset: number, title: string): void => {
    one.list.apply([{ stream: "c/1", told: { title, position: at(ZERO, offset) } }], "x");
  };
  change(1, "First");
  change(2, "Second");
  change(1, "First");
  expect(one.titles).toEqual(["Second"]);
});

test("while one is in the latest conversation its time is not told with each message", async () => {
  const one = device().sync();
  one.list.put("c/1", { title: "One", at: DAY });
  for (let second = 1; second <= 60; second++) one.list.put("c/1", { at: DAY + second * 1000 });
  await settled();
  expect(told()).toHaveLength(1);
  one.list.put("c/2", { title: "Two", at: DAY + 61_000 });
  one.list.put("c/1", { at: DAY + 62_000 });
  await settled();
  expect(device().sync().titles).toEqual(["One", "Two"]);
});

test("where the hub has lost its list the browser tells it again", async () => {
  const storage = new Map<string, string>();
  const one = device(storage).sync();
  one.list.put("c/1", { title: "One", at: DAY });
  await settled();
  hub = new FakeHub();
  device(storage).sync();
  await settled();
  expect(told()).toMatchObject([{ stream: "c/1", title: "One" }]);
});

test("what is no conversation, or damaged, is passed over", () => {
  // The stream may hold any JSON.
  hub.happen(STREAM, null as unknown as HubEvent, 1 as unknown as HubEvent);
  const one = device().sync();
  hub.happen(STREAM, { type: "message", role: "user", text: "hello" });
  for (const stream of [7, "../x", "a b", null]) happen({ stream, title: "no" });
  happen({ stream: "c/1", title: 7, named: "yes", pinned: 1, at: "then", from: "../x", more: {} });
  happen({ stream: "c/2", title: "Fine", removed: "yes" });
  expect(one.list.entries.map(({ name, title, at: time }) => [name, title, time])).toEqual([["c/1", "", 0], ["c/2", "Fine", 0]]);
});

test("where the list cannot be followed it is that of the browser", async () => {
  const one = device().sync();
  hub.fail(STREAM, new HubError("not_permitted", "no", 403));
  one.list.put("c/1", { title: "One", at: DAY });
  await settled();
  expect(one.titles).toEqual(["One"]);
  expect(told()).toEqual([]);
});

test.each([0, 1])("lists of one user that nobody has merged are one: the title that was chosen counts (%i)", async (first) => {
  const devices = [device(), device()];
  devices[0]?.list.put("c/1", { title: "Chosen", named: true, at: DAY });
  devices[1]?.list.put("c/1", { title: "by itself", at: DAY, pinned: true });
  for (const one of first ? devices : devices.toReversed()) {
    one.sync();
    await settled();
  }
  for (const one of devices) expect(one.titles).toEqual(["Chosen pinned"]);
});
