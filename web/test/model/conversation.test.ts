import { describe, expect, it, vi } from "vitest";

import { type AssistantMessage, EMPTY, fold, foldAll, rewind, type State } from "../../src/model/conversation.js";
import type { HubEvent, Item } from "../../src/protocol/events.js";
import { offsetOf } from "../../src/protocol/position.js";
import { Chance } from "../support/random.js";
import { merged, shown, Story } from "../support/story.js";

// The clock is a fake, but a busy machine is slow by any other.
vi.setConfig({ testTimeout: 60_000 });

const position = (offset: number, epoch = 0): string =>
  `${String(epoch).padStart(16, "0")}_${String(offset).padStart(16, "0")}`;

const items = (events: readonly HubEvent[], from = 0): Item[] =>
  events.map((event, i) => ({ event, position: position(from + i + 1) }));

const folded = (all: readonly Item[], from: State = EMPTY): State => all.reduce(fold, from);

function made(seed: number, count: number): Item[] {
  const story = new Story(new Chance(seed));
  return items(Array.from({ length: count }, () => story.next()));
}

describe("fold", () => {
  it("tells a conversation", () => {
    const state = folded(
      items([
        { type: "message", role: "user", text: "hi", author: "ann", at: "t0" },
        { type: "started", generation: "g", upstream: "demo", model: "m", at: "t1" },
        { type: "delta", generation: "g", reasoning: "hm" },
        { type: "delta", generation: "g", text: "Hel" },
        { type: "delta", generation: "g", text: "lo" },
        { type: "delta", generation: "g", tool: { index: 0, id: "c", name: "add", arguments: '{"a"' } },
        { type: "delta", generation: "g", tool: { index: 0, arguments: ":1}" } },
        { type: "finished", generation: "g", reason: "tool", usage: { completion_tokens: 4 }, seconds: { total: 2 }, at: "t2" },
      ]),
    );
    const { all, ...rest } = shown(state);
    expect(all).toEqual(rest.turns);
    expect(rest).toEqual({
      position: position(8),
      running: [],
      branches: [],
      queue: { prompts: [], held: false },
      closed: false,
      turns: [
        { kind: "message", role: "user", text: "hi", author: "ann", at: "t0", before: position(0) },
        {
          kind: "reply", before: position(1), generation: "g", upstream: "demo", model: "m",
          text: "Hello", reasoning: "hm", refusal: false, state: "finished", reason: "tool",
          tools: [{ index: 0, id: "c", name: "add", arguments: '{"a":1}' }],
          usage: { completion_tokens: 4 }, seconds: { total: 2 }, startedAt: "t1", endedAt: "t2",
        },
      ],
    });
  });

  it("keeps what is tried again until it comes to something", () => {
    const tried = items([
      { type: "started", generation: "g", upstream: "demo" },
      { type: "retrying", generation: "g", message: "busy", after: 2 },
    ]);
    expect((folded(tried).turns[0] as AssistantMessage).retrying).toEqual({ message: "busy", after: 2 });
    for (const next of [
      { type: "delta", generation: "g", text: "x" },
      { type: "failed", generation: "g", code: "c", message: "m" },
    ] satisfies HubEvent[])
      expect(folded(items([next], 2), folded(tried)).turns[0]).toHaveProperty("retrying", undefined);
  });

  it("shows a reply whose beginning is no longer kept, or that failed before it began", () => {
    const late = folded(items([{ type: "delta", generation: "g", text: "rest" }], 7));
    expect(late.turns[0]).toMatchObject({ text: "rest", state: "running", before: position(7) });
    expect(late.running).toEqual(["g"]);
    const failed = folded(items([{ type: "failed", generation: "g", code: "c", message: "m" }]));
    expect(failed.turns[0]).toMatchObject({ state: "failed", error: { code: "c", message: "m" } });
    expect(failed.running).toEqual([]);
  });

  it("takes from what is known only what is of its kind", () => {
    const told = [
      { type: "message", role: 5, text: "nobody said this" },
      { type: "message", role: "user", text: {}, author: 5, at: [] },
      { type: "branch", to: 5, from: "S", position: null },
      { type: "started", generation: "g", upstream: 5, model: {}, at: 5 },
      { type: "delta", generation: "g", tool: {} },
      { type: "finished", generation: "g", reason: 5, usage: { completion_tokens: "many", cached_tokens: 2, estimated: true }, seconds: { total: 1, first: null } },
      { type: "failed", generation: "h", usage: 5, seconds: { first: 1 }, at: 5 },
    ] as unknown as HubEvent[];
    const { turns, branches } = folded(items(told));
    const call = { id: "", name: "", arguments: "" };
    expect(turns).toEqual([
      { kind: "message", role: "user", text: "", before: position(1) },
      expect.objectContaining({ upstream: "", tools: [expect.objectContaining(call)], usage: { cached_tokens: 2, estimated: true }, seconds: { total: 1 } }),
      expect.objectContaining({ state: "failed", error: { code: "", message: "" }, usage: {} }),
    ]);
    for (const turn of turns) for (const name of ["author", "at", "model", "reason", "startedAt", "endedAt"]) expect(turn).not.toHaveProperty(name);
    expect(branches).toEqual([{ type: "branch", from: "S", position: "" }]);
  });

  it("takes any JSON for what it is: nothing that is known", () => {
    const odd = [null, 1, "x", [], {}, { type: 7 }, { type: "toString" }, { type: "message" }, { type: "message", role: "user", text: 5 }];
    const state = folded(items(odd as never[]));
    expect(state.turns).toMatchObject([{ text: "" }]);
    expect(offsetOf(state.position)).toBe(odd.length);
  });

  it("changes nothing when an item comes again, or comes for a reply that has ended", () => {
    const story = made(3, 400);
    const state = folded(story);
    for (const item of story) expect(fold(state, item)).toBe(state);
    const ended = folded(items([
      { type: "started", generation: "g", upstream: "u" },
      { type: "cancelled", generation: "g" },
    ]));
    const after = folded(items([{ type: "delta", generation: "g", text: "late" }, { type: "finished", generation: "g", reason: "stop" }], 2), ended);
    expect(after.turns).toEqual(ended.turns);
  });

  it("changes nothing of the state before, and shares what stays", () => {
    let state = EMPTY;
    for (const item of made(5, 500)) {
      const copy = structuredClone(state);
      const next = fold(state, item);
      expect(state).toEqual(copy);
      const same = next.turns.filter((turn, i) => turn === state.turns[i]).length;
      expect(same).toBeGreaterThanOrEqual(state.turns.length - 1);
      state = next;
    }
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("gives one state however deltas are merged (%i)", (seed) => {
    const story = made(seed, 600);
    const whole = folded(story);
    const chance = new Chance(seed + 100);
    for (let round = 0; round < 20; round++) {
      let state = EMPTY;
      for (let at = 0; at < story.length; ) {
        const end = at + 1 + chance.below(chance.pick([1, 5, 200]));
        state = folded(merged(story.slice(at, end)), state);
        at = end;
      }
      expect(shown(state)).toEqual(shown(whole));
    }
  });

  it("is cheap for each delta of a long answer", () => {
    const count = 20_000;
    let state = folded(items([{ type: "started", generation: "g", upstream: "u" }]));
    for (let i = 0; i < count; i++) state = fold(state, { event: { type: "delta", generation: "g", text: "word " }, position: position(i + 2) });
    // Nothing grows with the deltas but the text: no copy of what was, no step to go back to.
    let steps = 0;
    for (let past = state.past; past; past = past.past) steps++;
    expect(steps).toBe(1);
    expect((state.turns[0] as AssistantMessage).text).toHaveLength(5 * count);
  });
});

describe("foldAll", () => {
  /** What nobody's hub writes: hundreds of replies that run, and turns that follow ones far away. */
  function strange(chance: Chance, count: number): Item[] {
    const events = Array.from({ length: count }, (_, i): unknown => {
      const name = `g${chance.below(i + 1)}`;
      const after = chance.below(3) === 0 ? chance.pick([null, `m${chance.below(i + 1)}`, name, position(chance.below(i + 1))]) : undefined;
      return chance.pick([
        { type: "message", role: "user", text: String(i), id: `m${i}`, ...(after !== undefined && { after }) },
        { type: "started", generation: `g${i}`, upstream: "u", ...(after !== undefined && { after }) },
        { type: "delta", generation: name, text: String(i) },
        { type: "finished", generation: name, reason: "stop" },
        { type: "branch", from: name, position: position(i) },
      ]);
    });
    return items(events as HubEvent[]);
  }

  it.each([1, 2, 3, 4])("gives what items one by one do, however they are divided (%i)", (seed) => {
    const chance = new Chance(seed);
    const story = chance.below(2) ? strange(chance, 700) : [...made(seed, 200), ...strange(chance, 500)];
    const whole = folded(story);
    let state = EMPTY;
    for (let at = 0; at < story.length;) {
      const end = at + 1 + chance.below(200);
      const before = JSON.stringify(shown(state));
      const next = foldAll(state, story.slice(at, end));
      expect(JSON.stringify(shown(state))).toBe(before);
      state = next;
      at = end;
    }
    expect(shown(state)).toEqual(shown(whole));
    for (let offset = 0; offset <= story.length; offset += 13) {
      const back = rewind(state, position(offset));
      const at = offsetOf(back.position);
      expect(at).toBeLessThanOrEqual(offset);
      expect(shown(foldAll(back, story.slice(at)))).toEqual(shown(whole));
    }
  });

  it("is the same state if nothing is new", () => {
    const story = made(1, 20);
    const state = foldAll(EMPTY, story);
    expect(foldAll(state, story)).toBe(state);
  });

  // Each of them took minutes when every event had its own copy, or looked at all turns.
  it.each<[string, (i: number) => unknown]>([
    ["messages", (i) => ({ type: "message", role: "user", text: String(i) })],
    ["beginnings", () => ({ type: "message", role: "user", text: "again", after: null })],
    ["answers to the first", (i) => ({ type: "message", role: "user", text: "a", id: `m${i}`, after: "m0" })],
    ["answers to a place", (i) => ({ type: "message", role: "user", text: "a", after: position(i % 7) })],
    ["replies that run", (i) => ({ type: "started", generation: `g${i}`, upstream: "u" })],
    ["words of one that is far", (i) => (i % 2 ? { type: "delta", generation: "g", text: "a" } : { type: "message", role: "user", text: "a" })],
    ["marks of branches", (i) => ({ type: "branch", from: "s", to: `t${i}`, position: position(1) })],
    ["prompts that wait", (i) => ({ type: "queued", generation: `g${i}`, text: "a" })],
  ])("takes a hundred thousand %s", (_, event) => {
    const story = items(Array.from({ length: 100_000 }, (_, i) => event(i)) as HubEvent[]);
    let state = EMPTY;
    for (let at = 0; at < story.length; at += 1000) state = foldAll(state, story.slice(at, at + 1000));
    expect(offsetOf(state.position)).toBe(100_000);
  });
});

describe("rewind", () => {
  it.each([1, 2, 3, 4, 5, 6])("goes to a state that was, and on from there to the one that is (%i)", (seed) => {
    const story = made(seed, 150);
    const whole = folded(story);
    for (let offset = 0; offset <= story.length; offset++) {
      const back = rewind(whole, position(offset, 1));
      const at = offsetOf(back.position);
      expect(at).toBeLessThanOrEqual(offset);
      expect(shown(back)).toEqual(shown(folded(story.slice(0, at))));
      expect(shown(folded(story.slice(at), back))).toEqual(shown(whole));
    }
  });

  it("goes back again from where it went back to", () => {
    const story = made(9, 400);
    let state = folded(story);
    for (let offset = 390; offset >= 0; offset -= 7) {
      state = rewind(state, position(offset));
      const at = offsetOf(state.position);
      expect(shown(state)).toEqual(shown(folded(story.slice(0, at))));
      state = folded(story.slice(at, offset + 3), state);
    }
  });

  it("goes back by no more than the turn that holds the position", () => {
    const story = items([
      { type: "message", role: "user", text: "a" },
      { type: "started", generation: "g", upstream: "u" },
      { type: "delta", generation: "g", text: "b" },
      { type: "finished", generation: "g", reason: "stop" },
      { type: "message", role: "user", text: "c" },
    ]);
    const whole = folded(story);
    expect([1, 2, 3, 4, 5].map((offset) => offsetOf(rewind(whole, position(offset)).position))).toEqual([1, 1, 1, 4, 5]);
    expect(rewind(whole, position(9))).toBe(whole);
    expect(rewind(whole, position(0))).toEqual(EMPTY);
  });
});
