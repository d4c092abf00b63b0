import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { connect, type Hub } from "../../src/client/hub.js";
import type { ControlItem } from "../../src/client/source.js";
import { EMPTY, fold, type State } from "../../src/model/conversation.js";
import type { HubEvent, Item } from "../../src/protocol/events.js";
import type { Member } from "../../src/protocol/frames.js";
import { offsetOf } from "../../src/protocol/position.js";
import { FakeBrowser } from "../support/fake-browser.js";
import { FakeServer, URL_OF_HUB } from "../support/fake-server.js";
import { shown, Story } from "../support/story.js";

// The clock is a fake, but a busy machine is slow by any other.
vi.setConfig({ testTimeout: 60_000 });

const S = "chat/1";
const words = (...all: string[]): HubEvent[] => all.map((text) => ({ type: "message", role: "user", text }));
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

let hub: FakeServer;
let browser: FakeBrowser;
let hubs: Hub[];

function tab(): Hub {
  const one = connect(URL_OF_HUB);
  hubs.push(one);
  return one;
}

function reading(one: Hub, from = "start"): { texts: string[]; told: string[]; stop: () => void } {
  const log = { texts: [] as string[], told: [] as string[], stop: (): void => undefined };
  log.stop = one.follow(S, {
    from,
    items: (items) => log.texts.push(...items.map(({ event }) => (event as { text: string }).text)),
    reset: (position, reason) => log.told.push(`reset ${position} ${reason}`),
    closed: () => log.told.push("closed"),
    failed: (error) => log.told.push(`${error.name} ${error.code} ${error.message}`),
  });
  return log;
}

beforeEach(() => {
  vi.useFakeTimers();
  hub = new FakeServer();
  browser = new FakeBrowser();
  hubs = [];
});

afterEach(async () => {
  for (const one of hubs) one.close();
  await pass(3_000);
  expect(hub.sockets.size + hub.bodies.size).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("tabs of one page", () => {
  it.each([2, 7])("share one socket and one subscription (%i)", async (count) => {
    hub.stream(S).append(...words("a", "b"));
    const logs = [];
    for (let i = 0; i < count; i++) {
      logs.push(reading(tab()));
      await pass(50);
      hub.stream(S).append(...words(`live ${i}`));
    }
    await pass(50);
    for (const log of logs) expect(log.texts).toEqual(["a", "b", ...Array.from({ length: count }, (_, i) => `live ${i}`)]);
    expect(hub.opened).toBe(1);
    expect(hub.reads).toBe(0);
    expect(hubs.map(({ status }) => status)).toEqual(hubs.map(() => ({ state: "live", via: "websocket" })));
  });

  it("do without one that dies, whenever that is", async () => {
    const logs = [reading(tab()), reading(tab()), reading(tab())];
    await pass(50);
    // The worker's own lock is the first.
    const second = browser.held[2];
    hub.stream(S).append(...words("a"));
    await pass(50);
    browser.free(second);
    await pass(50);
    hub.stream(S).append(...words("b"));
    await pass(50);
    expect(logs.map(({ texts }) => texts.length).sort()).toEqual([1, 2, 2]);
    expect(hub.opened).toBe(1);
  });

  it("let go of the hub with the last of them", async () => {
    const [one, two] = [tab(), tab()];
    reading(one);
    reading(two);
    await pass(50);
    one.close();
    await pass(50);
    expect(hub.sockets.size).toBe(1);
    two.close();
    await pass(50);
    expect(hub.sockets.size).toBe(0);
    expect(browser.held).toHaveLength(1);
    const again = reading(tab());
    hub.stream(S).append(...words("a"));
    await pass(50);
    expect(again.texts).toEqual(["a"]);
  });

  it("are told refusals and resets as they are", async () => {
    hub.refusal = "not_json";
    const log = reading(tab());
    await pass(50);
    expect(log.told).toEqual(["HubError not_json no"]);
    hub.refusal = undefined;
    hub.stream(S).append(...words("a", "b"));
    const other = reading(tab());
    await pass(50);
    hub.cut();
    hub.stream(S).crash(1);
    hub.stream(S).append(...words("B"));
    await pass(2_000);
    expect(other.told).toEqual([`reset ${hub.stream(S).place(1)} unwritten`]);
    expect(other.texts).toEqual(["a", "b", "B"]);
    hub.stream(S).close();
    await pass(50);
    expect(other.told.at(-1)).toBe("closed");
  });

  it("hold no more for one that is frozen than they may, and it misses nothing", async () => {
    const [one, two] = [reading(tab()), reading(tab())];
    await pass(50);
    const frozen = browser.ports[0];
    if (!frozen) throw new Error("there is no port");
    frozen.frozen = true;
    const expected: string[] = [];
    for (let i = 0; i < 2_500; i++) {
      expected.push(String(i));
      hub.stream(S).append(...words(String(i)));
      await pass(3);
    }
    expect(frozen.waiting.length).toBeLessThan(2_500);
    expect(two.texts).toEqual(expected);
    frozen.thaw();
    await pass(3_000);
    hub.stream(S).append(...words("end"));
    await pass(100);
    expect(one.texts).toEqual([...expected, "end"]);
  });

  it("go on by themselves when their worker dies", async () => {
    hub.stream(S).append(...words("a"));
    const logs = [reading(tab()), reading(tab())];
    const third = tab();
    const now = reading(third, "now");
    await pass(50);
    for (const port of browser.ports) port.other.close();
    for (const socket of hub.sockets) socket.close();
    hub.stream(S).append(...words("b"));
    browser.free(browser.held[0]);
    await pass(100);
    hub.stream(S).append(...words("c"));
    await pass(100);
    for (const log of logs) expect(log.texts).toEqual(["a", "b", "c"]);
    expect(now.texts).toEqual(["b", "c"]);
    expect(hub.sockets.size).toBe(3);
  });

  it("see each other, and each knows itself", async () => {
    const seen: (readonly Member[])[] = [];
    const one = tab();
    reading(one);
    const presence = one.presence(S, { typing: false }, (members) => { seen[0] = members; });
    await pass(50);
    const [socket] = hub.sockets;
    const joined = { member: "mem_1", state: { typing: false } };
    socket?.tell({ type: "presence", stream: S, joined: [joined, { member: "mem_9", state: 1 }], left: [] });
    await pass(50);
    expect(seen[0]).toEqual([{ ...joined, self: true }, { member: "mem_9", state: 1, self: false }]);
    presence.set({ typing: true });
    await pass(50);
    expect(socket?.sent.at(-1)).toMatchObject({ type: "presence", stream: S, state: { typing: true } });
    socket?.tell({ type: "presence", stream: S, joined: [], left: ["mem_9"] });
    await pass(50);
    expect(seen[0]?.map(({ member }) => member)).toEqual(["mem_1"]);
    // After a break all are told anew; who left meanwhile is not among them.
    hub.cut();
    await pass(2_000);
    const [next] = hub.sockets;
    expect(next?.sent.at(-1)).toMatchObject({ type: "presence", state: { typing: true } });
    next?.tell({ type: "presence", stream: S, joined: [{ member: "mem_7", state: 2 }], left: [] });
    await pass(50);
    expect(seen[0]?.map(({ member }) => member)).toEqual(["mem_7"]);
    presence.leave();
    await pass(50);
    expect(next?.sent.at(-1)).toMatchObject({ type: "presence", stream: S, state: null });
  });

  it.each([1, 2, 3, 4, 5, 6])("come to the same text whatever happens (%i)", async (seed) => {
    hub = new FakeServer(seed);
    hub.doubles = true;
    const { chance } = hub;
    const stream = hub.stream(S);
    let story = new Story(chance);
    const seen: State[] = [];
    const show = (i: number): void => {
      hubs[i]?.close();
      const one = (hubs[i] = connect(URL_OF_HUB));
      one.conversation(S, (state) => { seen[i] = state; });
    };
    show(0);
    for (let step = 0; step < 120; step++) {
      stream.append(...Array.from({ length: chance.below(20) }, () => story.next()));
      if (chance.once(12)) hub.cut();
      if (chance.once(25)) {
        hub.cut();
        stream.crash(chance.below(15));
        story = new Story(chance);
      }
      if (chance.once(8)) show(chance.below(Math.min(hubs.length + 1, 7)));
      const port = chance.pick(browser.ports);
      // One that has not heard of the worker yet would give it up: here, unlike in a frozen tab, time passes.
      if (chance.once(10) && port.taken > 0) port.frozen = true;
      else port.thaw();
      await pass(chance.below(chance.pick([3, 50, 3000])));
    }
    for (const port of browser.ports) port.thaw();
    await pass(60_000);
    stream.append(...words("end"));
    await pass(60_000);
    const expected = shown(stream.items().reduce(fold, EMPTY));
    expect(seen.length).toBeGreaterThan(1);
    for (const one of seen) expect(shown(one)).toEqual(expected);
    expect(hub.sockets.size).toBe(1);
  });
});

describe("a conversation that is followed from now on", () => {
  it.each([1, 2, 3, 4])("forgets all of an event that a reset leads into, and reads it again (%i lost)", async (lost) => {
    const stream = hub.stream(S);
    const delta = (text: string): HubEvent => ({ type: "delta", generation: "g", text });
    stream.append(...words("?"), ...["a", "b", "c", "d", "e"].map(delta));
    let held: Item[] = [];
    tab().follow(S, {
      items: (items) => held.push(...items),
      reset: (position) => { held = held.filter((item) => offsetOf(item.position) <= offsetOf(position)); },
    });
    const text = (): string => held.map(({ event }) => (event as { text: string }).text).join("");
    await pass(1_000);
    expect([held.length, text()]).toEqual([2, "?abcde"]);
    stream.crash(lost);
    stream.append(delta("x"));
    hub.cut();
    await pass(10_000);
    expect(text()).toBe(`?${"abcde".slice(0, 5 - lost)}x`);
  });

  it("is whole again after a reset", async () => {
    const stream = hub.stream(S);
    const say = (...all: string[]): void => { stream.append(...all.map((text) => ({ type: "delta", generation: "g", text }) as const)); };
    stream.append(...words("before"));
    let seen = EMPTY;
    tab().conversation(S, (state) => { seen = state; }, { from: "now" });
    await pass(50);
    stream.append({ type: "started", generation: "g", upstream: "demo" });
    say("a", "b", "lost");
    await pass(50);
    expect(seen.turns).toMatchObject([{ text: "ablost" }]);
    hub.cut();
    stream.crash(1);
    say("c");
    await pass(60_000);
    expect(seen.turns).toMatchObject([{ state: "running", text: "abc" }]);
  });
});

describe("a tab that cannot share", () => {
  it.each(["silent", "forbidden"] as const)("has a socket of its own (worker: %s)", async (worker) => {
    browser.worker = worker;
    hub.stream(S).append(...words("a"));
    const log = reading(tab());
    await pass(2_100);
    expect(log.texts).toEqual(["a"]);
    expect(hub.opened).toBe(1);
  });

  it("has one where there are no such workers or locks", async () => {
    vi.stubGlobal("navigator", {});
    hub.stream(S).append(...words("a"));
    const log = reading(tab());
    await pass(50);
    expect(log.texts).toEqual(["a"]);
  });

  it("leaves nothing behind when it is closed while it connects", async () => {
    browser.worker = "silent";
    const one = tab();
    const told: string[] = [];
    one.onStatus(({ state }) => told.push(state));
    one.close();
    await pass(5_000);
    expect(hub.opened).toBe(0);
    expect(told).toEqual(["connecting", "closed"]);
    expect(browser.held).toEqual([]);
  });
});

describe("the async iterable", () => {
  it("gives items and what else is told, and ends with the stream", async () => {
    const stream = hub.stream(S);
    stream.append(...words("a", "b"));
    const found: (Item | ControlItem)[] = [];
    const done = (async () => {
      for await (const told of tab().follow(S)) found.push(told);
    })();
    await pass(50);
    hub.cut();
    stream.crash(1);
    stream.append(...words("B"));
    await pass(2_000);
    stream.close();
    await pass(50);
    await done;
    expect(found).toEqual([
      { event: words("a")[0], position: "0000000000000000_0000000000000001" },
      { event: words("b")[0], position: "0000000000000000_0000000000000002" },
      { reset: { position: stream.place(1), reason: "unwritten" } },
      { event: words("B")[0], position: "0000000000000001_0000000000000002" },
      { closed: true },
    ]);
  });

  it("throws what was refused, and ends when it is told to", async () => {
    hub.refusal = "not_json";
    const one = tab();
    const refused = (async () => {
      for await (const told of one.follow(S)) expect(told).toBeUndefined();
    })();
    const expected = expect(refused).rejects.toMatchObject({ code: "not_json" });
    await pass(50);
    await expected;
    hub.refusal = undefined;
    const stop = new AbortController();
    const ended = (async () => {
      for await (const told of one.follow(S, { signal: stop.signal })) expect(told).toBeUndefined();
    })();
    await pass(50);
    stop.abort();
    await ended;
    await pass(50);
    expect([...hub.sockets][0]?.readers.size).toBe(0);
  });

  it("holds no more for who does not take it than it may, and misses nothing", async () => {
    const iterator = tab().follow(S)[Symbol.asyncIterator]();
    const first = iterator.next();
    await pass(50);
    const count = 4_000;
    for (let i = 0; i < count; i += 10) {
      hub.stream(S).append(...words(...Array.from({ length: 10 }, (_, j) => String(i + j))));
      await pass(5);
    }
    // Nobody took them, so it is not followed any more.
    expect([...hub.sockets][0]?.readers.size).toBe(0);
    const found = [(await first).value as Item];
    while (found.length < count) {
      const next = iterator.next();
      await pass(5);
      found.push((await next).value as Item);
    }
    expect(found.map(({ event }) => (event as { text: string }).text)).toEqual(Array.from({ length: count }, (_, i) => String(i)));
    await iterator.return?.();
  });
});
