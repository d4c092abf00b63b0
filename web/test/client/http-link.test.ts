import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { HttpLink } from "../../src/client/http-link.js";
import type { HubEvent, Item } from "../../src/protocol/events.js";
import type { Sink } from "../../src/protocol/frames.js";
import { FakeServer, URL_OF_HUB } from "../support/fake-server.js";

const S = "chat/1";
const said = (text: string): HubEvent => ({ type: "message", role: "user", text });
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

let hub: FakeServer;
let link: HttpLink;
let ends: string[];

/** A sink, and the texts that it has been given. */
function reader(): { sink: Sink; texts: string[] } {
  const texts: string[] = [];
  const sink: Sink = {
    begun: () => undefined,
    items: (items: readonly Item[]) => { texts.push(...items.map(({ event }) => (event as { text: string }).text)); },
    reset: () => { throw new Error("nothing was lost"); },
    closed: () => { texts.push("closed"); },
    refused: (error) => { texts.push(error.code); },
  };
  return { sink, texts };
}

beforeEach(() => {
  vi.useFakeTimers();
  hub = new FakeServer();
  ends = [];
  link = new HttpLink(URL_OF_HUB, { lost: (why) => ends.push(why), denied: ({ code }) => ends.push(code) });
});

afterEach(() => {
  link.close();
  expect(hub.bodies.size).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("one request for all streams", () => {
  it("gives who follows from elsewhere all from there, and who has left nothing", async () => {
    hub.stream(S).append(said("a"), said("b"));
    const left = reader();
    link.follow(S, "now", left.sink);
    await pass(50);
    link.leave(S);
    const { sink, texts } = reader();
    link.follow(S, "start", sink);
    hub.stream(S).append(said("c"));
    await pass(5);
    expect(texts).toEqual([]);
    await pass(100);
    expect(texts).toEqual(["a", "b", "c"]);
    expect(left.texts).toEqual([]);
  });

  it.each(["now", "start"])("misses nothing between two requests (%s)", async (from) => {
    hub.stream(S).append(said("old"));
    const { sink, texts } = reader();
    link.follow(S, from, sink);
    const expected = from === "start" ? ["old"] : [];
    await pass(50);
    for (let i = 0; i < 40; i++) {
      link.follow(`other/${i}`, "now", reader().sink);
      for (let j = 0; j < 5; j++) {
        hub.stream(S).append(said(`${i} ${j}`));
        expected.push(`${i} ${j}`);
        await pass(hub.chance.below(15));
      }
    }
    await pass(100);
    expect(texts).toEqual(expected);
    expect(hub.reads).toBeGreaterThan(20);
  });

  it("has all of a stream that begins between two requests", async () => {
    const { sink, texts } = reader();
    link.follow(S, "now", sink);
    await pass(50);
    hub.slow = 100;
    link.follow("other", "now", reader().sink);
    await pass(50);
    for (let i = 0; i < 30; i++) {
      hub.stream(S).append(said(String(i)));
      await pass(1);
    }
    await pass(100);
    expect(texts).toEqual(Array.from({ length: 30 }, (_, i) => String(i)));
  });

  it("asks for what is left, and for nothing once nothing is", async () => {
    for (const stream of [S, "other"]) link.follow(stream, "start", reader().sink);
    await pass(50);
    link.leave(S);
    await pass(50);
    expect([...hub.bodies].map(({ asked }) => asked.map(({ stream }) => stream))).toEqual([["other"]]);
    link.leave("other");
    await pass(50);
    expect(hub.bodies.size).toBe(0);
    expect(ends).toEqual([]);
  });

  it("is answered before it is asked for again, however often that is wanted", async () => {
    const { sink, texts } = reader();
    hub.stream(S).append(said("a"));
    link.follow(S, "start", sink);
    hub.slow = 100;
    let others = 0;
    for (; others < 100 && !texts.length; others++) {
      link.follow(`other/${others}`, "now", reader().sink);
      await pass(30);
    }
    expect(texts).toEqual(["a"]);
    await pass(500);
    expect([...hub.bodies].map(({ asked }) => asked.length)).toEqual([1 + others]);
  });

  it("is asked for again once it is answered, if more was wanted meanwhile", async () => {
    hub.slow = 100;
    link.follow(S, "start", reader().sink);
    await pass(50);
    link.follow("other", "start", reader().sink);
    await pass(500);
    expect([...hub.bodies].map(({ asked }) => asked.map(({ stream }) => stream))).toEqual([[S, "other"]]);
  });

  it("is asked for again by who wants to be sure, after a silence", async () => {
    hub.slow = 100;
    link.follow(S, "start", reader().sink);
    for (let i = 0; i < 10; i++) {
      await pass(50);
      link.check();
    }
    expect(hub.reads).toBe(1);
    await pass(25_000);
    link.check();
    await pass(200);
    expect(hub.reads).toBe(2);
    expect(ends).toEqual([]);
  });

  it("breaks off once, after a silence or with the network", async () => {
    link.follow(S, "start", reader().sink);
    await pass(50);
    await pass(60_000);
    expect(ends).toEqual(["the hub stopped responding"]);
    link.follow(S, "start", reader().sink);
    await pass(50);
    hub.cut();
    await pass(60_000);
    expect(ends).toEqual(["the hub stopped responding", "the stream broke off"]);
  });
});
