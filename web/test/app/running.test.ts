// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ConversationList } from "../../src/app/conversation-list.js";
import { LocalStore } from "../../src/app/local-store.js";
import { askAfter, watchRunning } from "../../src/app/running.js";
import type { Hub } from "../../src/client/hub.js";
import type { Status } from "../../src/protocol/frames.js";

const HUB = "http://h/hub/";
let list: ConversationList;

function answering(answer: (address: string) => Response | Promise<Response>): ReturnType<typeof vi.fn> {
  const asked = vi.fn((address: URL) => Promise.resolve(answer(address.href)));
  vi.stubGlobal("fetch", asked);
  return asked;
}

beforeEach(() => {
  localStorage.clear();
  list = new ConversationList(new LocalStore("/"));
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("what has ended, or is not known any more, runs no longer; the rest does", async () => {
  for (const name of ["ended", "runs", "forgotten", "shown"]) list.put(name, { running: `g/${name}` });
  const asked = answering((address) => {
    if (address.endsWith("forgotten")) return new Response("", { status: 404 });
    return Response.json({ state: "x", ...(address.endsWith("ended") && { ended_at: "2026" }) });
  });
  await askAfter(list, HUB, "shown");
  expect(asked).toHaveBeenCalledWith(new URL("http://h/hub/v1/generations/g%2Fended"));
  expect(list.entries.filter((entry) => entry.running).map((entry) => entry.name).toSorted()).toEqual(["runs", "shown"]);
});

test("while the hub cannot be reached nothing is taken back", async () => {
  list.put("a", { running: "g" });
  answering(() => Promise.reject(new TypeError("offline")));
  await askAfter(list, HUB, undefined);
  answering(() => new Response("{}", { status: 502 }));
  await askAfter(list, HUB, undefined);
  answering(() => new Response("<html>"));
  await askAfter(list, HUB, undefined);
  expect(list.find("a")?.running).toBe("g");
});

test("an answer that began in the meantime is not taken back", async () => {
  list.put("a", { running: "old" });
  answering(() => {
    list.put("a", { running: "new" });
    return Response.json({ ended_at: "2026" });
  });
  await askAfter(list, HUB, undefined);
  expect(list.find("a")?.running).toBe("new");
});

test("a long list is asked after a few at a time", async () => {
  for (let n = 0; n < 50; n++) list.put(`c${n}`, { running: "g" });
  const asked = answering(() => Response.json({}));
  await askAfter(list, HUB, undefined);
  expect(asked.mock.calls.length).toBe(5);
});

test("a hub that cannot be reached is not asked until it is there again", async () => {
  vi.useFakeTimers();
  list.put("a", { running: "g" });
  const asked = answering(() => Response.json({ state: "running" }));
  const hub: { url: string; status: Status } = { url: HUB, status: { state: "offline", retryAt: 0, why: "" } };
  watchRunning(list, hub as Hub, () => undefined);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).not.toHaveBeenCalled();
  hub.status = { state: "live", via: "websocket" };
  await vi.advanceTimersByTimeAsync(6_000);
  expect(asked).toHaveBeenCalled();
  vi.clearAllTimers();
  vi.useRealTimers();
});
