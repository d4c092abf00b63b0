import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Commands } from "../../src/client/commands.js";

interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: unknown;
}

const URL_OF_HUB = "http://hub.test/some/";

let asked: Asked[];
let answers: (() => Response)[];
let commands: Commands;

const refused = (status: number, code: string) => (): Response => Response.json({ error: { code, message: "no" } }, { status });
const unreachable = (): Response => { throw new TypeError("fetch failed"); };
const written = (): Response => new Response(null, { status: 204, headers: { "Stream-Next-Offset": "0_1" } });

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  answers = [];
  commands = new Commands(URL_OF_HUB);
  vi.stubGlobal("fetch", (url: string, { method = "GET", headers, body }: RequestInit) => {
    asked.push({ method, url, headers: { ...(headers as Record<string, string>) }, body: typeof body === "string" ? JSON.parse(body) : undefined });
    return new Promise((resolve) => { resolve((answers.shift() ?? written)()); });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(60_000);
  return promise;
}

describe("commands", () => {
  it("ask once more with the same key when the answer is lost", async () => {
    answers = [unreachable, refused(503, "draining"), () => Response.json({ id: "gen_1", stream: "a/b", state: "asked" }, { status: 201 })];
    expect(await settled(commands.generate({ stream: "a/b", prompt: "hi" }))).toEqual({
      generation: "gen_1", stream: "a/b", state: "asked",
    });
    expect(asked).toHaveLength(3);
    expect(new Set(asked.map(({ headers }) => headers["Idempotency-Key"])).size).toBe(1);
    expect(asked[0]).toMatchObject({ method: "POST", url: `${URL_OF_HUB}v1/generations`, body: { stream: "a/b", prompt: "hi" } });
  });

  it("take the key they are given, and another for another prompt", async () => {
    answers = Array.from({ length: 3 }, () => () => Response.json({ id: "g", stream: "s" }));
    await settled(commands.generate({ prompt: "a", key: "mine" }));
    await settled(commands.generate({ prompt: "a" }));
    await settled(commands.generate({ prompt: "a" }));
    const keys = asked.map(({ headers }) => headers["Idempotency-Key"]);
    expect(keys[0]).toBe("mine");
    expect(new Set(keys).size).toBe(3);
    expect(asked[0]?.body).toEqual({ prompt: "a" });
  });

  it("do not ask again after a refusal, nor without end", async () => {
    answers = [refused(409, "stream_busy")];
    await expect(settled(commands.generate({ prompt: "a" }))).rejects.toMatchObject({ name: "HubError", code: "stream_busy", message: "no", status: 409 });
    expect(asked).toHaveLength(1);
    answers = Array.from({ length: 20 }, () => unreachable);
    await expect(settled(commands.cancel("gen_1"))).rejects.toMatchObject({ code: "unreachable", status: 0 });
    expect(asked).toHaveLength(5);
    answers = [() => new Response("<html>", { status: 404 })];
    await expect(settled(commands.models())).rejects.toMatchObject({ code: "http_404", status: 404 });
  });

  it("append once and in order, and begin the stream if need be", async () => {
    answers = [refused(404, "stream_not_found"), () => new Response(null, { status: 201 }), unreachable, written];
    const both = Promise.all([commands.append("a b/c", { type: "x" }), commands.append("a b/c", { type: "y" })]);
    expect(await settled(both)).toEqual(["0_1", "0_1"]);
    expect(asked.map(({ method, headers }) => [method, headers["Producer-Seq"]])).toEqual([
      ["POST", "0"], ["PUT", undefined], ["POST", "0"], ["POST", "0"], ["POST", "1"],
    ]);
    expect(asked[1]?.headers).toEqual({ "Content-Type": "application/json" });
    expect(new Set(asked.map(({ url }) => url))).toEqual(new Set([`${URL_OF_HUB}v1/stream/a%20b/c`]));
    expect(asked[4]?.body).toEqual({ type: "y" });
  });

  it("begin with another producer after an append of which nobody knows", async () => {
    answers = Array.from({ length: 4 }, () => unreachable);
    await expect(settled(commands.append("s", { type: "x" }))).rejects.toMatchObject({ code: "unreachable" });
    await settled(commands.append("s", { type: "y" }));
    expect(asked[4]?.headers["Producer-Seq"]).toBe("0");
    expect(asked[4]?.headers["Producer-Id"]).not.toBe(asked[0]?.headers["Producer-Id"]);
  });

  it.each(["..", "chat/../bob", "../../logout", "chat/.", "./a"])("do not lead elsewhere: %s", async (name) => {
    const message = { type: "message", role: "user", text: "a" } as const;
    const all = [() => commands.append(name, message), () => commands.fork(name, "s"), () => commands.fork("s", name), () => commands.cancel("..")];
    for (const ask of all) await expect(settled<unknown>(ask())).rejects.toMatchObject({ code: "bad_name" });
    expect(asked).toEqual([]);
  });

  it("fork by the paths that the hub is reached at", async () => {
    await settled(commands.fork("new", "old/1", "0_7"));
    await settled(commands.fork("new", "old/1"));
    expect(asked[0]).toMatchObject({
      method: "PUT",
      url: `${URL_OF_HUB}v1/stream/new`,
      headers: { "Stream-Forked-From": "/some/v1/stream/old/1", "Stream-Fork-Offset": "0_7" },
    });
    expect(asked[1]?.headers).not.toHaveProperty("Stream-Fork-Offset");
  });
});
