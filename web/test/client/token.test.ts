import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Commands } from "../../src/client/commands.js";
import { connect, type Hub } from "../../src/client/hub.js";
import { present, subjectOf, type Token } from "../../src/client/token.js";
import type { HubEvent } from "../../src/protocol/events.js";
import type { Status } from "../../src/protocol/frames.js";
import { FakeBrowser } from "../support/fake-browser.js";
import { FakeServer, URL_OF_HUB } from "../support/fake-server.js";

// The clock is a fake, but a busy machine is slow by any other.
vi.setConfig({ testTimeout: 60_000 });

const S = "chat/1";
const words = (...all: string[]): HubEvent[] => all.map((text) => ({ type: "message", role: "user", text }));
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

let hub: FakeServer;
let browser: FakeBrowser;
let hubs: Hub[];
let statuses: Status[];

/** A tab, or a page that shares nothing. */
function page(token?: Token, shared = false): Hub {
  const one = connect(URL_OF_HUB, { token, shared });
  one.onStatus((status) => statuses.push(status));
  hubs.push(one);
  return one;
}

/** A function that returns a new token each time, and counts. */
function issuer(seconds: number, user = "ann"): { (): Promise<string>; issued: string[] } {
  const issued: string[] = [];
  const issue = (): Promise<string> => {
    const token = jwt({ sub: user, exp: Math.floor(Date.now() / 1000) + seconds, jti: `${user}-${issued.length}` });
    hub.tokens?.set(token, Date.now() + seconds * 1000);
    issued.push(token);
    return Promise.resolve(token);
  };
  return Object.assign(issue, { issued });
}

function jwt(claims: Record<string, unknown>): string {
  const encoded = (value: unknown): string => btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return [encoded({ alg: "HS256" }), encoded(claims), "signature"].join(".");
}

/** The result of a request, on the fake clock. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  await pass(60_000);
  return promise;
}

function reading(one: Hub, stream = S): { texts: string[]; told: string[] } {
  const log = { texts: [] as string[], told: [] as string[] };
  one.follow(stream, {
    items: (items) => log.texts.push(...items.map(({ event }) => (event as { text: string }).text)),
    reset: (position, reason) => log.told.push(`reset ${position} ${reason}`),
    failed: ({ code }) => log.told.push(code),
  });
  return log;
}

beforeEach(() => {
  vi.useFakeTimers();
  hub = new FakeServer();
  hub.tokens = new Map([["good", Infinity]]);
  browser = new FakeBrowser();
  hubs = [];
  statuses = [];
});

afterEach(async () => {
  for (const one of hubs) one.close();
  await pass(3_000);
  expect(hub.sockets.size + hub.bodies.size).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a token", () => {
  it("is the first command, and goes with each request", async () => {
    hub.stream(S).append(...words("a"));
    const one = page("good");
    const log = reading(one);
    await pass(50);
    expect(log.texts).toEqual(["a"]);
    const [socket] = hub.sockets;
    expect(socket?.sent[0]).toMatchObject({ type: "auth", token: "good" });
    expect(await settled(one.models())).toEqual(["demo"]);
    expect(hub.presented).toEqual(["good", "good"]);
  });

  it("does no harm where none is needed", async () => {
    hub.tokens = undefined;
    hub.stream(S).append(...words("a"));
    const log = reading(page("good"));
    await pass(50);
    expect(log.texts).toEqual(["a"]);
  });

  it.each(["", "two words", "line\nbreak", undefined, 7])("is never sent if it cannot be one (%j)", async (bad) => {
    const one = page(() => bad as string);
    await pass(100);
    expect(statuses.at(-1)).toMatchObject({ state: "offline", why: "The page has no valid token." });
    await expect(settled(one.models())).rejects.toMatchObject({ code: "token_unavailable" });
    expect(hub.opened + hub.presented.length).toBe(0);
  });

  it("takes no redirect", async () => {
    const asked = vi.fn(() => Promise.resolve(Response.json({ data: [] })));
    vi.stubGlobal("fetch", asked);
    await new Commands(URL_OF_HUB, "good").models();
    expect(asked).toHaveBeenCalledWith(`${URL_OF_HUB}v1/models`, expect.objectContaining({ redirect: "error" }));
  });

  it("tells what the function failed with", async () => {
    const cause = new Error("offline");
    await expect(present(() => Promise.reject(cause))).rejects.toMatchObject({ code: "token_unavailable", cause });
    const late = present(() => new Promise(() => undefined));
    late.catch(() => undefined);
    await pass(10_000);
    await expect(late).rejects.toMatchObject({ code: "token_unavailable" });
  });
});

describe("an open connection", () => {
  it("goes on with the next token before one expires", async () => {
    const token = issuer(100);
    const log = reading(page(token));
    for (let i = 0; i < 40; i++) {
      await pass(10_000);
      hub.stream(S).append(...words(String(i)));
    }
    await pass(50);
    expect(log.texts).toEqual(Array.from({ length: 40 }, (_, i) => String(i)));
    expect(hub.opened).toBe(1);
    // One at 75 of every 100 seconds.
    expect(token.issued).toHaveLength(1 + Math.floor(400 / 75));
  });

  it("comes back with a new token when it was closed in the meantime", async () => {
    const token = issuer(3600);
    const log = reading(page(token));
    await pass(50);
    hub.stream(S).append(...words("a"));
    await pass(50);
    for (const socket of hub.sockets) socket.drop(4200, "token_expired");
    hub.stream(S).append(...words("b"));
    await pass(2_000);
    hub.stream(S).append(...words("c"));
    await pass(50);
    expect(log).toEqual({ texts: ["a", "b", "c"], told: [] });
    expect(token.issued).toHaveLength(2);
  });

  it("asks for the next token again after a failure", async () => {
    const issue = issuer(40);
    let failures = 0;
    const token = (): Promise<string> => (issue.issued.length === 1 && failures++ < 2 ? Promise.reject(new Error("offline")) : issue());
    reading(page(token));
    await pass(60_000);
    expect(failures).toBe(3);
    expect(hub.opened).toBe(1);
  });

  it("waits longer and longer if there is no other token", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.999);
    const issue = issuer(40);
    let calls = 0;
    const log = reading(page(async () => {
      calls++;
      return issue.issued[0] ?? issue();
    }));
    await pass(600_000);
    expect(calls).toBeGreaterThan(10);
    expect(calls).toBeLessThan(40);
    expect(statuses.at(-1)).toMatchObject({ state: "offline", why: "this token has expired" });
    expect(statuses.some((status) => status.state === "live" && status.via === "sse")).toBe(false);
    hub.tokens?.set(issue.issued[0] ?? "", Infinity);
    hub.stream(S).append(...words("back"));
    await pass(40_000);
    expect(log.texts).toEqual(["back"]);
  });

  it("becomes another user's by a new connection", async () => {
    const tokens = [issuer(40, "ann"), issuer(40, "bob")];
    let current = 0;
    page(() => (tokens[current] as () => Promise<string>)());
    await pass(50);
    current = 1;
    const [socket] = hub.sockets;
    const tell = socket?.tell.bind(socket);
    if (socket && tell) socket.tell = (message) => { tell(message.expires_in === undefined ? message : { type: "error", id: message.id, code: "not_permitted", message: "somebody else's" }); };
    await pass(32_000);
    expect(hub.opened).toBe(2);
    expect([...hub.sockets][0]?.token).toContain(".");
    expect(statuses.at(-1)).toMatchObject({ state: "live" });
  });

  it.each([
    ["a token", "bad"],
    ["a function", (): string => "bad"],
  ] as const)("ends when the hub refuses %s", async (_, token) => {
    page(token);
    await pass(60_000);
    expect(statuses.at(-1)).toEqual({ state: "closed", code: "invalid_token", message: "this token is not valid" });
    expect(hub.presented).toEqual(["bad"]);
  });

  it("tries another token once after a refusal", async () => {
    const given = ["bad", "good"];
    page(() => given.shift() ?? "none");
    await pass(1_000);
    expect(statuses.at(-1)).toMatchObject({ state: "live" });
    hub.tokens?.clear();
    let calls = 0;
    page(() => `bad-${calls++}`);
    await pass(60_000);
    expect(statuses.at(-1)).toMatchObject({ state: "closed", code: "invalid_token" });
    expect(calls).toBe(2);
  });

  it.each([
    [4501, "unauthorized", "The hub does not accept this token."],
    [4502, "revoked", "This token was revoked."],
  ])("ends after the close code %i", async (close, code, message) => {
    page(() => "good");
    await pass(50);
    for (const socket of hub.sockets) socket.drop(close, "no");
    await pass(60_000);
    expect(statuses.at(-1)).toEqual({ state: "closed", code, message });
    expect(hub.opened).toBe(1);
  });

  it("tells its followers that it has ended, also those that come later", async () => {
    const one = page(() => "bad");
    const before = reading(one);
    const iterated = one.follow(S)[Symbol.asyncIterator]();
    await expect(settled(iterated.next())).rejects.toMatchObject({ name: "HubError", code: "invalid_token" });
    const after = reading(one);
    await pass(50);
    expect([before.told, after.told]).toEqual([["invalid_token"], ["invalid_token"]]);
  });

  it("ends if it has no token and needs one", async () => {
    page();
    await pass(60_000);
    expect(statuses.at(-1)).toEqual({ state: "closed", code: "unauthorized", message: "The hub needs a token." });
    expect(hub.opened).toBe(1);
  });

  it("ends when a token that is no function has expired", async () => {
    hub.tokens?.set("short", Date.now() + 5_000);
    page("short");
    await pass(60_000);
    expect(statuses.at(-1)).toMatchObject({ state: "closed", code: "token_expired" });
    expect(hub.opened).toBe(1);
  });

  it("tells a refused stream, and goes on with the others", async () => {
    const one = page("good");
    const log = reading(one);
    await pass(50);
    hub.refusal = "stream_not_found";
    const other = reading(one, "chat/bob/1");
    await pass(50);
    expect(other.told).toEqual(["stream_not_found"]);
    hub.stream(S).append(...words("a"));
    await pass(50);
    expect(log.texts).toEqual(["a"]);
  });
});

describe("where WebSockets are blocked", () => {
  it("goes on with the next token when a response ends with its token", async () => {
    hub.websockets = "refused";
    const token = issuer(30);
    const log = reading(page(token));
    for (let i = 0; i < 20; i++) {
      await pass(10_000);
      hub.stream(S).append(...words(String(i)));
    }
    await pass(30_000);
    expect(log.texts).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
    expect(log.told).toEqual([]);
    expect(new Set(hub.presented).size).toBeGreaterThan(6);
  });

  it("asks for another token once when one is refused, and then ends", async () => {
    hub.websockets = "refused";
    let calls = 0;
    page(() => `bad-${calls++}`);
    await pass(120_000);
    expect(statuses.at(-1)).toMatchObject({ state: "closed", code: "invalid_token" });
    expect(calls).toBeLessThan(12);
  });

  it("repeats a command with the next token", async () => {
    const given = ["bad", "good"];
    await expect(settled(new Commands(URL_OF_HUB, () => given.shift() ?? "none").models())).resolves.toEqual(["demo"]);
    await expect(settled(new Commands(URL_OF_HUB, "bad").models())).rejects.toMatchObject({ status: 401, code: "invalid_token" });
  });
});

describe("tabs of one page", () => {
  it("share a connection if they have the same user", async () => {
    hub.stream(S).append(...words("a"));
    const logs = [];
    for (let i = 0; i < 5; i++) {
      logs.push(reading(page(issuer(3600), true)));
      await pass(50);
    }
    expect(logs.map(({ texts }) => texts)).toEqual(Array.from({ length: 5 }, () => ["a"]));
    expect(hub.opened).toBe(1);
    expect(statuses.at(-1)).toMatchObject({ state: "live" });
  });

  it("share none if they have different users, tokens, or none", async () => {
    hub.tokens?.set("other", Infinity);
    for (const token of [issuer(3600, "ann"), issuer(3600, "bob"), "good", "other", "good"]) {
      page(token, true);
      await pass(50);
    }
    expect(hub.opened).toBe(4);
    expect(new Set([...hub.sockets].map(({ token }) => subjectOf(token ?? ""))).size).toBe(4);
    page(undefined, true);
    await pass(50);
    expect(hub.opened).toBe(5);
  });

  it("renew the token through any of them", async () => {
    const [first, second] = [issuer(100), issuer(100)];
    const one = page(first, true);
    await pass(50);
    const log = reading(page(second, true));
    await pass(80_000);
    // Whoever came last is asked first.
    expect([first.issued.length, second.issued.length]).toEqual([2, 2]);
    one.close();
    await pass(400_000);
    hub.stream(S).append(...words("a"));
    await pass(50);
    expect(log.texts).toEqual(["a"]);
    expect(hub.opened).toBe(1);
  });

  it("ask the next one if one is frozen or has no token", async () => {
    const first = issuer(100);
    page(first, true);
    await pass(50);
    const later = issuer(100);
    page(() => (later.issued.length ? Promise.reject(new Error("offline")) : later()), true);
    await pass(50);
    page(issuer(100), true);
    await pass(50);
    const [, , frozen] = browser.ports;
    if (frozen) frozen.frozen = true;
    await pass(200_000);
    expect(hub.opened).toBe(1);
    expect(first.issued.length).toBeGreaterThan(2);
  });

  it("leave the connection when their user changes", async () => {
    const users = [issuer(100, "ann"), issuer(100, "bob")];
    let current = 0;
    reading(page(() => (users[current] as () => Promise<string>)(), true));
    const stays = issuer(100, "ann");
    const log = reading(page(stays, true));
    await pass(1_000);
    expect(hub.opened).toBe(1);
    current = 1;
    // The tab is asked only when its turn comes.
    hubs[1]?.close();
    await pass(120_000);
    expect([...hub.sockets].map(({ token }) => subjectOf(token ?? ""))).toEqual([subjectOf(users[1]?.issued[0] ?? "")]);
    expect(log.told).toEqual([]);
  });

  it("begin anew after a refusal that the others have seen", async () => {
    page(() => "key", true);
    await pass(1_000);
    expect(statuses.at(-1)).toMatchObject({ state: "closed" });
    hub.tokens?.set("key", Infinity);
    page(() => "key", true);
    await pass(1_000);
    expect(statuses.at(-1)).toMatchObject({ state: "live" });
  });
});

it("is the same subject's if tokens differ in their times only", () => {
  const one = jwt({ sub: "Ann", exp: 1, iat: 1, jti: "a" });
  expect(subjectOf(one)).toBe(subjectOf(jwt({ sub: "Ann", exp: 2, iat: 2, jti: "b", nbf: 3 })));
  expect(subjectOf(one)).not.toBe(subjectOf(jwt({ sub: "bob", exp: 1 })));
  expect(subjectOf(one)).not.toBe(subjectOf(jwt({ sub: "Ann", exp: 1, streams: [] })));
  expect(subjectOf("sh_abc_def")).toBe("sh_abc_def");
});
