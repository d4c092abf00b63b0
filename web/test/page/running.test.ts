// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Hub, Status } from "../../src/client/hub.js";
import { Memory } from "../../src/page/memory.js";
import { askAfter, watchRunning } from "../../src/page/running.js";
import { Shelf } from "../../src/page/shelf.js";

const HUB = "http://h/hub/";
let shelf: Shelf;

function answering(answer: (address: string) => Response | Promise<Response>): ReturnType<typeof vi.fn> {
  const asked = vi.fn((address: URL) => Promise.resolve(answer(address.href)));
  vi.stubGlobal("fetch", asked);
  return asked;
}

beforeEach(() => {
  localStorage.clear();
  shelf = new Shelf(new Memory("/"));
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("what has ended, or is not known any more, runs no longer; the rest does", async () => {
  for (const name of ["ended", "runs", "forgotten", "shown"]) shelf.put(name, { running: `g/${name}` });
  const asked = answering((address) => {
    if (address.endsWith("forgotten")) return new Response("", { status: 404 });
    return Response.json({ state: "x", ...(address.endsWith("ended") && { ended_at: "2026" }) });
  });
  await askAfter(shelf, HUB, "shown");
  expect(asked).toHaveBeenCalledWith(new URL("http://h/hub/v1/generations/g%2Fended"));
  expect(shelf.entries.filter((entry) => entry.running).map((entry) => entry.name).toSorted()).toEqual(["runs", "shown"]);
});

test("while the hub cannot be reached nothing is taken back", async () => {
  shelf.put("a", { running: "g" });
  answering(() => Promise.reject(new TypeError("offline")));
  await askAfter(shelf, HUB, undefined);
  answering(() => new Response("{}", { status: 502 }));
  await askAfter(shelf, HUB, undefined);
  answering(() => new Response("<html>"));
  await askAfter(shelf, HUB, undefined);
  expect(shelf.find("a")?.running).toBe("g");
});

test("an answer that began in the meantime is not taken back", async () => {
  shelf.put("a", { running: "old" });
  answering(() => {
    shelf.put("a", { running: "new" });
    return Response.json({ ended_at: "2026" });
  });
  await askAfter(shelf, HUB, undefined);
  expect(shelf.find("a")?.running).toBe("new");
});

test("a long list is asked after a few at a time", async () => {
  for (let n = 0; n < 50; n++) shelf.put(`c${n}`, { running: "g" });
  const asked = answering(() => Response.json({}));
  await askAfter(shelf, HUB, undefined);
  expect(asked.mock.calls.length).toBe(5);
});

test("a hub that cannot be reached is not asked until it is there again", async () => {
  vi.useFakeTimers();
  shelf.put("a", { running: "g" });
  const asked = answering(() => Response.json({ state: "running" }));
  const hub: { url: string; status: Status } = { url: HUB, status: { state: "offline", retryAt: 0, why: "" } };
  watchRunning(shelf, hub as Hub, () => undefined);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).not.toHaveBeenCalled();
  hub.status = { state: "live", via: "websocket" };
  await vi.advanceTimersByTimeAsync(6_000);
  expect(asked).toHaveBeenCalled();
  vi.clearAllTimers();
  vi.useRealTimers();
});
