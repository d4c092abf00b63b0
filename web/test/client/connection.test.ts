import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Connection } from "../../src/client/connection.js";
import { followConversation } from "../../src/client/follow-conversation.js";
import type { Follow } from "../../src/client/source.js";
import { handle } from "../../src/client/subscription.js";
import { EMPTY, type State } from "../../src/model/conversation.js";
import type { HubError } from "../../src/protocol/errors.js";
import type { HubEvent, Item } from "../../src/protocol/events.js";
import type { Status } from "../../src/protocol/frames.js";
import { FakeServer, URL_OF_HUB } from "../support/fake-server.js";

// The clock is a fake, but a busy machine is slow by any other.
vi.setConfig({ testTimeout: 60_000 });

const S = "chat/1";
const words = (...all: string[]): HubEvent[] => all.map((text) => ({ type: "message", role: "user", text }));

let hub: FakeServer;
let statuses: Status[];
let connections: Connection[];

function connected(): Connection {
  const connection = new Connection(URL_OF_HUB, (status) => statuses.push(status));
  connections.push(connection);
  return connection;
}

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const states = (): string[] => statuses.map(({ state }) => state);

/** The connection's signals as a page's handlers. */
const following =
  (connection: Connection, stream = S): Follow =>
  (from, handlers) =>
    connection.follow(stream, from, (signal) => { handle(signal, handlers); });

interface Log {
  items: Item[];
  told: string[];
  stop: () => void;
}

function followed(connection: Connection, from = "start", stream = S): Log {
  const log: Log = { items: [], told: [], stop: () => undefined };
  log.stop = following(connection, stream)(from, {
    items: (items) => log.items.push(...items),
    reset: (position, reason) => log.told.push(`reset ${position} ${reason}`),
    closed: () => log.told.push("closed"),
    waiting: () => log.told.push("waiting"),
    lag: (records) => log.told.push(`lag ${records}`),
    failed: (error: HubError) => log.told.push(`failed ${error.code}`),
  });
  return log;
}

const texts = (log: Log): string[] => log.items.map(({ event }) => (event as { text: string }).text);

beforeEach(() => {
  vi.useFakeTimers();
  hub = new FakeServer();
  statuses = [];
  connections = [];
});

afterEach(() => {
  for (const connection of connections) connection.close();
  expect(hub.sockets.size + hub.bodies.size).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("following", () => {
  it("tells what there is and what comes, over one socket and subscription", async () => {
    hub.stream(S).append(...words("a", "b"));
    const connection = connected();
    const one = followed(connection);
    const two = followed(connection);
    await pass(50);
    hub.stream(S).append(...words("c"));
    await pass(50);
    const late = followed(connection);
    await pass(50);
    for (const log of [one, two, late]) expect(texts(log)).toEqual(["a", "b", "c"]);
    expect(hub.opened).toBe(1);
    expect(hub.reads).toBe(0);
    const [socket] = hub.sockets;
    expect(socket?.url).toBe("ws://hub.test/v1/ws");
    expect(socket?.protocol).toBe("hub.v1");
    expect(socket?.sent.filter(({ type }) => type === "subscribe")).toHaveLength(1);
  });

  it("waits for a stream that is not there yet", async () => {
    const log = followed(connected());
    await pass(50);
    expect(log.told).toEqual(["waiting"]);
    hub.stream(S).append(...words("a"));
    await pass(50);
    expect(texts(log)).toEqual(["a"]);
  });

  it("says how far behind it is", async () => {
    hub.stream(S).append(...words(...Array.from({ length: 260 }, String)));
    const log = followed(connected());
    await pass(500);
    expect(log.told[0]).toBe("lag 260");
    expect(log.told.at(-1)).toBe("lag 0");
    expect(log.items).toHaveLength(260);
  });

  it("begins now, where there are others or not", async () => {
    hub.stream(S).append(...words("a", "b"));
    const connection = connected();
    const first = followed(connection, "now");
    await pass(50);
    const all = followed(connection);
    const second = followed(connection, "now");
    await pass(50);
    hub.stream(S).append(...words("c"));
    await pass(50);
    expect(texts(first)).toEqual(["c"]);
    expect(texts(second)).toEqual(["c"]);
    expect(texts(all)).toEqual(["a", "b", "c"]);
  });

  it("goes on for the others when one has left, and unsubscribes after the last", async () => {
    hub.stream(S).append(...words("a"));
    const connection = connected();
    const one = followed(connection);
    const two = followed(connection);
    await pass(50);
    one.stop();
    hub.stream(S).append(...words("b"));
    await pass(50);
    expect(texts(one)).toEqual(["a"]);
    expect(texts(two)).toEqual(["a", "b"]);
    two.stop();
    await pass(50);
    const [socket] = hub.sockets;
    expect(socket?.readers.size).toBe(0);
    const three = followed(connection);
    three.stop();
    const four = followed(connection);
    await pass(50);
    expect(texts(four)).toEqual(["a", "b"]);
  });

  it("tells the end, also to who comes after it", async () => {
    hub.stream(S).append(...words("a"));
    const connection = connected();
    const one = followed(connection);
    await pass(50);
    hub.stream(S).close();
    await pass(50);
    const late = followed(connection);
    await pass(50);
    expect(one.told.at(-1)).toBe("closed");
    expect(late.told.at(-1)).toBe("closed");
    expect(texts(late)).toEqual(["a"]);
  });

  it("lets a mistake in one follower's handlers be that one's", async () => {
    hub.stream(S).append(...words("a"));
    const connection = connected();
    const thrown: unknown[] = [];
    const caught = (error: unknown): void => void thrown.push(error);
    process.on("uncaughtException", caught);
    following(connection)("start", { items: () => { throw new Error("mine"); } });
    const other = followed(connection);
    await pass(50);
    process.off("uncaughtException", caught);
    expect(texts(other)).toEqual(["a"]);
    expect(String(thrown[0])).toContain("mine");
  });

  it("keeps no more than it may, and serves who asks for more from the hub", async () => {
    const connection = connected();
    hub.stream(S);
    const one = followed(connection);
    await pass(50);
    for (let i = 0; i < 100; i++) {
      hub.stream(S).append(...words(...Array.from({ length: 50 }, (_, j) => `${i}-${j}`)));
      await pass(20);
    }
    const reads = hub.reads;
    const late = followed(connection);
    await pass(2000);
    expect(hub.reads).toBe(reads + 1);
    hub.stream(S).append(...words("live"));
    await pass(50);
    expect(texts(one)).toHaveLength(5001);
    expect(texts(late)).toEqual(texts(one));
    // It reads by itself only until it has caught up.
    expect(hub.bodies.size).toBe(0);
  });
});

describe("faults", () => {
  it("comes back where it was, after waits that grow", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.999);
    hub.stream(S).append(...words("a"));
    const log = followed(connected());
    await pass(50);
    hub.websockets = "refused";
    hub.http = false;
    hub.cut();
    hub.stream(S).append(...words("b"));
    await pass(60_000);
    const offline = statuses.filter((status) => status.state === "offline");
    expect([5, 6, 7, 8, 9]).toContain(offline.length);
    hub.websockets = "open";
    await pass(31_000);
    expect(texts(log)).toEqual(["a", "b"]);
    expect(statuses.at(-1)).toEqual({ state: "live", via: "websocket" });
  });

  it("says when it comes back, and comes at once when asked", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.999);
    const connection = connected();
    await pass(50);
    hub.websockets = "refused";
    hub.http = false;
    hub.cut();
    await pass(20_000);
    const last = statuses.findLast((status) => status.state === "offline");
    expect(last?.retryAt).toBeGreaterThan(Date.now() - 20_000);
    hub.websockets = "open";
    connection.retry();
    await pass(50);
    expect(states().at(-1)).toBe("live");
  });

  it("notices silence, and does not mistake beats for it", async () => {
    const log = followed(connected());
    await pass(300_000);
    expect(hub.opened).toBe(1);
    hub.beats = false;
    await pass(55_000);
    expect(statuses.findLast((status) => status.state === "offline")?.why).toContain("stopped responding");
    hub.beats = true;
    await pass(40_000);
    hub.stream(S).append(...words("a"));
    await pass(50);
    expect(texts(log)).toEqual(["a"]);
  });

  it("finds out soon after a sleep whether the socket still lives", async () => {
    const connection = connected();
    await pass(1000);
    connection.retry();
    await pass(30_000);
    expect(hub.opened).toBe(1);
    hub.websockets = "deaf";
    connection.retry();
    await pass(14_000);
    expect(states()).toContain("offline");
  });

  it("comes back after a drain when it was told to", async () => {
    connected();
    await pass(50);
    const [socket] = hub.sockets;
    socket?.tell({ type: "draining", retry_ms: 4321 });
    const now = Date.now();
    socket?.drop(4000, "draining");
    expect(statuses.at(-1)).toMatchObject({ state: "offline", retryAt: now + 4321 });
    await pass(4300);
    expect(hub.opened).toBe(1);
    await pass(50);
    expect(hub.opened).toBe(2);
  });

  it.each([[1006, true], [1001, true], [4000, true], [4100, true], [4499, true], [4500, false], [4999, false]])(
    "obeys the close code %i",
    async (code, back) => {
      const connection = connected();
      followed(connection);
      await pass(50);
      for (const socket of hub.sockets) socket.drop(code, "go away");
      await pass(60_000);
      connection.retry();
      await pass(60_000);
      expect(hub.opened).toBe(back ? 2 : 1);
      if (!back) expect(statuses.at(-1)).toEqual({ state: "closed", code: `close_${code}`, message: "go away" });
    },
  );

  it("goes when the network goes, and comes with it", async () => {
    hub.stream(S).append(...words("a"));
    const connection = connected();
    const log = followed(connection);
    await pass(50);
    connection.offline();
    connection.offline();
    expect(states().at(-1)).toBe("offline");
    expect(hub.sockets.size).toBe(0);
    hub.stream(S).append(...words("b"));
    await pass(4_000);
    expect(states().at(-1)).toBe("offline");
    connection.retry();
    await pass(50);
    expect(states().at(-1)).toBe("live");
    expect(texts(log)).toEqual(["a", "b"]);
    // What says that there is no network may be wrong.
    connection.offline();
    await pass(40_000);
    expect(states().at(-1)).toBe("live");
  });

  it("drops what answers in words that are no hub's", async () => {
    connected();
    await pass(50);
    const [socket] = hub.sockets;
    socket?.onmessage?.({ data: "<html>" });
    expect(statuses.at(-1)).toMatchObject({ state: "offline", why: "the server is not a hub" });
  });

  it("tells a refusal that stays, and asks again after one that passes", async () => {
    const connection = connected();
    hub.refusal = "not_json";
    const one = followed(connection);
    await pass(50);
    expect(one.told).toEqual(["failed not_json"]);
    hub.refusal = "limit_exceeded";
    hub.stream("other").append(...words("a"));
    const two = followed(connection, "start", "other");
    await pass(5_000);
    expect(two.told).toEqual([]);
    hub.refusal = undefined;
    await pass(40_000);
    expect(texts(two)).toEqual(["a"]);
  });

  it("tells that what was waited for cannot be followed", async () => {
    const log = followed(connected());
    await pass(50);
    for (const socket of hub.sockets) socket.tell({ type: "error", stream: S, code: "not_json", message: "bytes" });
    expect(log.told).toEqual(["waiting", "failed not_json"]);
  });

  it("tells each reset once, with the place to go on", async () => {
    const stream = hub.stream(S);
    stream.append(...words("a", "b", "c", "d"));
    const log = followed(connected());
    await pass(50);
    hub.cut();
    stream.crash(2);
    stream.append(...words("C"));
    await pass(2000);
    expect(log.told.filter((told) => told.startsWith("reset"))).toEqual([`reset ${stream.place(2)} unwritten`]);
    expect(texts(log)).toEqual(["a", "b", "c", "d", "C"]);
  });

  it("tells what was trimmed while it was away", async () => {
    const stream = hub.stream(S);
    stream.append(...words("a", "b"));
    const connection = connected();
    const log = followed(connection);
    let state: State = EMPTY;
    followConversation(following(connection), (now) => { state = now; });
    await pass(50);
    hub.cut();
    stream.append(...words("c", "d", "e"));
    stream.head = 4;
    await pass(2000);
    expect(log.told).toContain(`reset ${stream.place(4)} trimmed`);
    expect(texts(log)).toEqual(["a", "b", "e"]);
    expect(state.turns).toMatchObject([{ text: "e" }]);
  });

  it("begins anew with a stream that was deleted", async () => {
    hub.stream(S).append(...words("a", "b"));
    const connection = connected();
    let state: State = EMPTY;
    followConversation(following(connection), (now) => { state = now; });
    await pass(50);
    hub.cut();
    hub.streams.delete(S);
    await pass(2000);
    expect(state.turns).toEqual([]);
    hub.stream(S).append(...words("new"));
    await pass(50);
    expect(state.turns).toMatchObject([{ text: "new" }]);
  });
});

describe("where WebSockets are blocked", () => {
  it.each(["refused", "deaf"] as const)("reads server-sent events, and goes back when it can (%s)", async (how) => {
    hub.websockets = how;
    hub.stream(S).append(...words("a", "你好🎆"));
    const log = followed(connected());
    await pass(40_000);
    expect(statuses.at(-1)).toEqual({ state: "live", via: "sse" });
    hub.stream(S).append(...words("c"));
    await pass(50);
    hub.cut();
    hub.stream(S).append(...words("d"));
    await pass(60_000);
    expect(texts(log)).toEqual(["a", "你好🎆", "c", "d"]);
    hub.websockets = "open";
    hub.cut();
    await pass(2_000);
    expect(statuses.at(-1)).toEqual({ state: "live", via: "websocket" });
    hub.stream(S).close();
    await pass(50);
    expect(log.told).toContain("closed");
  });

  /** A connection that reads server-sent events. */
  async function blocked(): Promise<Connection> {
    hub.websockets = "refused";
    const connection = connected();
    await pass(40_000);
    expect(statuses.at(-1)).toEqual({ state: "live", via: "sse" });
    statuses.length = 0;
    return connection;
  }
  const names = Array.from({ length: 20 }, (_, i) => `chat/${i}`);

  it("follows all streams with one request", async () => {
    const connection = await blocked();
    const logs = names.map((name) => followed(connection, "start", name));
    await pass(50);
    expect(hub.reads).toBe(1);
    for (const name of names) hub.stream(name).append(...words(name));
    await pass(50);
    for (const [i, log] of logs.entries()) expect(texts(log)).toEqual([names[i]]);
    expect(hub.bodies.size).toBe(1);
    expect([...hub.bodies][0]?.asked.map(({ stream }) => stream)).toEqual(names);
  });

  it("loses and doubles nothing while the streams change", async () => {
    const connection = await blocked();
    const logs: Log[] = [];
    const said = names.map((): string[] => []);
    for (let step = 0; step < 400; step++) {
      if (step % 9 === 0 && logs.length < names.length) logs.push(followed(connection, "start", names[logs.length]));
      if (step % 13 === 0) followed(connection, "now", `other/${step}`).stop();
      if (step % 50 === 49) for (const body of hub.bodies) body.end();
      if (step % 90 === 89) hub.cut();
      const i = hub.chance.below(names.length);
      hub.stream(names[i] ?? "").append(...words(`${i} ${step}`));
      said[i]?.push(`${i} ${step}`);
      await pass(hub.chance.below(40));
    }
    await pass(60_000);
    expect(logs).toHaveLength(names.length);
    expect(logs.map(texts)).toEqual(said);
    expect(hub.bodies.size).toBe(1);
  });

  it("asks again at once, and says nothing, when a response has lasted long enough", async () => {
    const log = followed(await blocked());
    await pass(30_000);
    for (const body of hub.bodies) body.end();
    hub.stream(S).append(...words("a"));
    await pass(100);
    expect(texts(log)).toEqual(["a"]);
    expect(states()).toEqual([]);
  });

  it("waits before it asks one again that ends at once", async () => {
    followed(await blocked());
    for (let i = 0; i < 200; i++) {
      for (const body of hub.bodies) body.end();
      await pass(10);
    }
    expect(states()).toContain("offline");
    expect(hub.reads).toBeLessThan(10);
  });

  it("comes back when a hub that shuts down says so", async () => {
    const log = followed(await blocked());
    await pass(50);
    for (const body of hub.bodies) {
      body.tell({ type: "draining", retry_ms: 3000 });
      body.cut();
    }
    await pass(50);
    expect(statuses.at(-1)).toEqual({ state: "offline", retryAt: expect.closeTo(Date.now() + 3000, -3) as number, why: expect.any(String) as string });
    hub.stream(S).append(...words("a"));
    await pass(10_000);
    expect(texts(log)).toEqual(["a"]);
  });

  it("stays when its streams have ended", async () => {
    const connection = await blocked();
    const log = followed(connection);
    await pass(50);
    hub.stream(S).close();
    await pass(60_000);
    expect(log.told).toContain("closed");
    expect(states()).toEqual([]);
    expect(hub.bodies.size).toBe(0);
    hub.stream("other").append(...words("a"));
    const other = followed(connection, "start", "other");
    await pass(50);
    expect(texts(other)).toEqual(["a"]);
  });

  it("tells which streams it is refused, and follows the others", async () => {
    const connection = await blocked();
    hub.refusal = "stream_not_found";
    const refused = followed(connection);
    await pass(50);
    hub.refusal = undefined;
    const log = followed(connection, "start", "other");
    await pass(50);
    expect(refused.told).toEqual(["failed stream_not_found"]);
    for (const body of hub.bodies) body.tell({ type: "error", stream: "other", code: "not_json", message: "bytes" });
    await pass(50);
    expect(log.told.at(-1)).toBe("failed not_json");
    expect(states()).toEqual([]);
  });

  it("reads what is missing with few requests, and for everybody in the end", async () => {
    const connection = await blocked();
    const many = words(...Array.from({ length: 50 }, String));
    for (const name of names) {
      hub.stream(name).append(...many);
      followed(connection, "now", name);
    }
    await pass(200);
    const late = names.map((name) => followed(connection, "start", name));
    let most = 0;
    for (let i = 0; i < 3000; i++) {
      await pass(1);
      most = Math.max(most, hub.bodies.size);
    }
    for (const log of late) expect(texts(log)).toHaveLength(50);
    expect(most).toBeLessThanOrEqual(3);
    expect(hub.bodies.size).toBe(1);
  });
});
