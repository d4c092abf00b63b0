import { beforeEach, expect, test, vi } from "vitest";

import type { Entry } from "../../src/app/conversation-list.js";
import { MessageSearch, PORTION } from "../../src/app/message-search.js";
import { FakeHub } from "../support/fake-hub.js";

let hub: FakeHub;
let search: MessageSearch;
const changed = vi.fn();
const entry = (name: string, at: number): Entry => ({ name, title: name, at });

/** A hub that tells each follower that it has everything. */
class WholeHub extends FakeHub {
  override conversation(...[stream, told, more]: Parameters<FakeHub["conversation"]>): () => void {
    const stop = super.conversation(stream, told, more);
    if (this.streams.has(stream)) more?.lag?.(0);
    return stop;
  }
}

function said(stream: string, ...texts: string[]): void {
  hub.happen(stream, ...texts.map((text) => ({ type: "message", role: "user", text }) as const));
}

const over = (): Promise<void> => vi.waitFor(() => { expect(search.progress?.running).toBe(false); }, { timeout: 20_000 });
const hits = (): unknown => search.progress?.hits.map(({ entry: { name }, excerpt }) => [name, excerpt.match]);

beforeEach(() => {
  hub = new WholeHub();
  search = new MessageSearch(hub, changed);
});

test("what was said is found, the latest first, and nothing goes on afterwards", async () => {
  said("a", "hello", "A River");
  said("b", "the river bank");
  said("c", "the sea");
  search.start("river", [entry("b", 3), entry("c", 2), entry("a", 1)]);
  await over();
  expect(hits()).toEqual([["b", "river"], ["a", "River"]]);
  expect(search.progress).toMatchObject({ searched: 3, all: 3 });
  expect(hub.followers).toBe(0);
});

test("what cannot be read is passed over", async () => {
  said("b", "the river bank");
  search.start("river", [entry("gone", 2), entry("b", 1)]);
  await over();
  expect(hits()).toEqual([["b", "river"]]);
});

test("a portion is searched at a time", async () => {
  const entries = Array.from({ length: PORTION + 5 }, (_, i) => entry(`c${i}`, PORTION + 5 - i));
  for (const { name } of entries) said(name, "a river");
  search.start("river", entries);
  await over();
  expect(search.progress).toMatchObject({ searched: PORTION, all: PORTION + 5 });
  await search.more();
  expect(search.progress).toMatchObject({ searched: PORTION + 5, running: false });
  expect(search.progress?.hits).toHaveLength(PORTION + 5);
});

test("what was read is not read again until something is said there", async () => {
  said("a", "a river");
  const read = vi.spyOn(hub, "conversation");
  for (const at of [1, 1, 2]) {
    search.start("river", [entry("a", at)]);
    await over();
  }
  expect(read).toHaveBeenCalledTimes(2);
});

test("a search that is stopped follows nothing and tells nothing any more", async () => {
  hub = new FakeHub();
  search = new MessageSearch(hub, changed);
  said("a", "a river");
  search.start("river", [entry("a", 1)]);
  await vi.waitFor(() => { expect(hub.followers).toBe(1); }, { timeout: 20_000 });
  search.stop();
  await vi.waitFor(() => { expect(hub.followers).toBe(0); }, { timeout: 20_000 });
  expect(search.progress).toBeUndefined();
});
