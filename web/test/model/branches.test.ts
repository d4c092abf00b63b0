import { describe, expect, it } from "vitest";

import { ForkWatcher } from "../../src/chat/fork-watcher.js";
import { answered, before, chosen, keyOf, lineage, nameOf, newest, shownAside, siblings, versions } from "../../src/model/branches.js";
import { type AssistantMessage, branch, type ChatMessage, EMPTY, fold, rewind, type State, type Turns } from "../../src/model/conversation.js";
import type { Branch, HubEvent } from "../../src/protocol/events.js";
import { at, ZERO } from "../../src/protocol/position.js";
import cases from "../../../tests/cases/branches.json";
import { FakeHub } from "../support/fake-hub.js";
import { forkAt, place } from "../support/forks.js";

const hub = (): FakeHub => new FakeHub();
const say = (text: string) => ({ type: "message", role: "user", text }) as const;

function read(fake: FakeHub, stream: string): State {
  return (fake.streams.get(stream) ?? []).reduce(
    (state, event, i) => fold(state, { event, position: at(ZERO, i + 1) }),
    EMPTY,
  );
}

function said(state: State, text: string): ChatMessage {
  const found = state.turns.find((turn) => turn.kind === "message" && turn.text === text);
  if (found?.kind !== "message") throw new Error(`nobody said ${text}`);
  return found;
}

/** What a reader of `shown` forks at a message, told as the element tells it. */
async function fork(fake: FakeHub, shown: string, text: string, stream: string, instead: string): Promise<void> {
  await forkAt(fake, place(shown, read(fake, shown), said(read(fake, shown), text)), stream, say(instead));
}

/** The versions of a message as the reader of `shown` sees them. */
function seen(fake: FakeHub, shown: string, text: string): string {
  const state = read(fake, shown);
  let told: ReadonlyMap<string, readonly Branch[]> = new Map();
  const watcher = new ForkWatcher(fake, (now) => (told = now));
  watcher.follow(shown, state.branches);
  const found = versions(shown, state, told).get(keyOf(said(state, text)));
  watcher.stop();
  return found ? `${found.choices.map(({ stream }) => stream).join(" ")} @${found.shown}` : "one";
}

const label = (turn: ChatMessage | AssistantMessage): string => (turn.kind === "reply" ? turn.generation : turn.text);
const labels = (turns: Turns): string[] => turns.map(label);

function folded(events: readonly unknown[]): State {
  return events.reduce<State>((state, event, i) => fold(state, { event: event as HubEvent, position: at(ZERO, i + 1) }), EMPTY);
}

describe("branches, as the hub and its client in Python see them", () => {
  it.each(cases.map((one) => [one.name, one] as const))("%s", (_, { events, turns, versions, branches }) => {
    const state = folded(events);
    expect(labels(state.turns)).toEqual(turns);
    const place = (name: string): number => state.all.findIndex((turn) => label(turn) === name);
    const beside = siblings(state);
    for (const [name, others] of Object.entries(versions)) {
      const turn = state.all[place(name)];
      expect(turn && labels(beside.get(turn) ?? [])).toEqual(others);
    }
    for (const [name, found] of Object.entries(branches)) {
      expect(labels(branch(state.all, newest(state.all, place(name))))).toEqual(found);
    }
  });

  it.each(cases.map((one) => [one.name, one.events] as const))("are undone with their events: %s", (_, events) => {
    const whole = folded(events);
    events.forEach((_event, i) => {
      const earlier = rewind(whole, at(ZERO, i));
      expect(labels(earlier.turns)).toEqual(labels(folded(events.slice(0, Number(earlier.position.slice(17)))).turns));
    });
  });
});

describe("the chosen branch", () => {
  const two = [say("q1"), { type: "started", generation: "g1" }, { type: "started", generation: "g2", after: at(ZERO, 1) }];

  it("is that of a turn, and goes on with it", () => {
    const state = folded(two);
    expect(labels(chosen(state).turns)).toEqual(["q1", "g2"]);
    expect(labels(chosen(state, "g1").turns)).toEqual(["q1", "g1"]);
    const more = folded([...two, { ...say("q2"), after: "g1" }, { ...say("q3"), after: "g2" }]);
    expect(labels(chosen(more, "g1").turns)).toEqual(["q1", "g1", "q2"]);
    expect(labels(chosen(more, at(ZERO, 1)).turns)).toEqual(["q1", "g2", "q3"]);
    expect(shownAside(more)).toBeUndefined();
    const aside = shownAside(chosen(more, "g1"));
    expect(labels(chosen(more, aside).turns)).toEqual(["q1", "g1", "q2"]);
  });

  it("stays until the one that is to come is there", () => {
    expect(labels(chosen(folded(two), "g3", "g1").turns)).toEqual(["q1", "g1"]);
    expect(labels(chosen(folded([...two, { type: "started", generation: "g3", after: at(ZERO, 1) }]), "g3", "g1").turns)).toEqual(["q1", "g3"]);
    expect(labels(chosen(folded(two), "gone").turns)).toEqual(["q1", "g2"]);
  });

  it("is counted where it differs, without attempts that came to nothing", () => {
    const failed = { type: "failed", generation: "g2", code: "c", message: "m" };
    const state = folded([...two, failed, { type: "started", generation: "g3", after: at(ZERO, 1) }]);
    const choices = [1, 3].map((offset) => ({ stream: "S", turn: at(ZERO, offset === 1 ? 2 : 5) }));
    expect(versions("S", state, new Map())).toEqual(new Map([["g3", { choices, shown: 1, position: at(ZERO, 1) }]]));
    expect(versions("S", chosen(state, "g2"), new Map()).get("g2")).toMatchObject({ shown: 1, choices: { length: 3 } });
    expect(versions("S", folded([say("q1"), ...two.slice(1, 2)]), new Map()).size).toBe(0);
  });

  it("is where a question is edited, and an answer given again", () => {
    const more = [...two, say("q2"), { type: "started", generation: "g4" }, { type: "failed", generation: "g4" }, { type: "started", generation: "g5" }];
    const { turns } = folded(more);
    const [q1, g2, q2, , g5] = turns as [ChatMessage, AssistantMessage, ChatMessage, AssistantMessage, AssistantMessage];
    expect(before(turns, q1)).toBeNull();
    expect(before(turns, q2)).toBe(nameOf(g2));
    expect(answered(turns, g2)).toBe(q1);
    // Not the attempt that failed.
    expect(answered(turns, g5)).toBe(q2);
  });

  it("is also where the stream is on another branch by now, or nowhere", () => {
    const state = folded([say("q1"), ...two.slice(1, 2), say("q2"), { type: "started", generation: "g2" }, { ...say("q3"), after: null }]);
    const [, , q2, g2, q3] = state.all as [ChatMessage, AssistantMessage, ChatMessage, AssistantMessage, ChatMessage];
    expect(state.turns).toEqual([q3]);
    expect(answered(state.all, g2)).toBe(q2);
    expect(before(state.all, q2)).toBe(at(ZERO, 2));
    expect(before(state.all, q3)).toBeNull();
    expect(answered([q3], g2)).toBeUndefined();
    expect(before([q3], q2)).toBeUndefined();
  });

  it("is beside versions that are conversations of their own", async () => {
    const fake = hub();
    fake.happen("S", say("one"));
    await fork(fake, "S", "one", "F", "eins");
    fake.happen("F", { ...say("uno"), after: null });
    const state = read(fake, "F");
    expect(versions("F", state, new Map([["S", read(fake, "S").branches]])).get(keyOf(said(state, "uno")))).toEqual({
      choices: [{ stream: "S" }, { stream: "F", turn: at(ZERO, 2) }, { stream: "F", turn: at(ZERO, 3) }],
      shown: 2,
      position: at(ZERO, 0),
    });
    expect(versions("S", read(fake, "S"), new Map()).get(keyOf(said(read(fake, "S"), "one")))).toMatchObject({
      choices: [{ stream: "S" }, { stream: "F" }],
      shown: 0,
    });
  });
});

describe("versions of a message that are conversations of their own", () => {
  it("are offered on both sides", async () => {
    const fake = hub();
    fake.happen("S", say("one"), say("two"));
    await fork(fake, "S", "two", "F", "zwei");
    expect(seen(fake, "S", "two")).toBe("S F @0");
    expect(seen(fake, "F", "zwei")).toBe("S F @1");
    expect(seen(fake, "F", "one")).toBe("one");
  });

  it("are one flat group, whichever of them is forked, and the same for all", async () => {
    const fake = hub();
    fake.happen("S", say("one"), say("two"));
    await fork(fake, "S", "two", "F", "zwei");
    await fork(fake, "F", "zwei", "G", "deux");
    await fork(fake, "G", "deux", "H", "due");
    expect(seen(fake, "S", "two")).toBe("S F G H @0");
    expect(seen(fake, "F", "zwei")).toBe("S F G H @1");
    expect(seen(fake, "G", "deux")).toBe("S F G H @2");
    expect(seen(fake, "H", "due")).toBe("S F G H @3");
  });

  it("keep two who fork at once", async () => {
    const fake = hub();
    fake.happen("S", say("one"));
    const { source, position } = place("S", read(fake, "S"), said(read(fake, "S"), "one"));
    for (const stream of ["F", "G"]) {
      await fake.fork(stream, source, position);
      fake.happen(stream, { type: "branch", from: source, position }, say(stream));
    }
    for (const stream of ["G", "F"]) fake.happen("S", { type: "branch", to: stream, position });
    expect(seen(fake, "S", "one")).toBe("S G F @0");
    expect(seen(fake, "F", "F")).toBe("S G F @2");
    expect(seen(fake, "G", "G")).toBe("S G F @1");
  });

  it("of a message that a fork shares belong to who said it first", async () => {
    const fake = hub();
    fake.happen("S", say("one"), say("two"), say("three"));
    await fork(fake, "S", "three", "F", "drei");
    await fork(fake, "F", "two", "G", "zwei");
    expect(fake.streams.get("S")?.at(-1)).toMatchObject({ to: "G", position: at(ZERO, 1) });
    expect(seen(fake, "S", "two")).toBe("S G @0");
    expect(seen(fake, "F", "two")).toBe("S G @0");
    expect(seen(fake, "G", "zwei")).toBe("S G @1");
    expect(seen(fake, "F", "drei")).toBe("S F @1");
  });

  it("go down a line of forks", async () => {
    const fake = hub();
    fake.happen("S", say("one"));
    await fork(fake, "S", "one", "F", "eins");
    fake.happen("F", say("zwei"));
    await fork(fake, "F", "zwei", "G", "deux");
    expect(lineage("G", read(fake, "G").branches).map(({ stream }) => stream)).toEqual(["S", "F", "G"]);
    expect(seen(fake, "G", "eins")).toBe("S F @1");
    expect(seen(fake, "G", "deux")).toBe("F G @1");
    expect(seen(fake, "F", "zwei")).toBe("F G @0");
  });

  it("hold an append that came twice once", async () => {
    const fake = hub();
    fake.happen("S", say("one"));
    await fork(fake, "S", "one", "F", "eins");
    const again = fake.streams.get("S")?.at(-1);
    if (again) fake.happen("S", again);
    expect(seen(fake, "S", "one")).toBe("S F @0");
    expect(lineage("F", [{ type: "branch", from: "S", position: ZERO }, { type: "branch", from: "S", position: ZERO }])).toHaveLength(2);
  });

  it("are found beside whatever JSON else a source may hold", async () => {
    const fake = hub();
    fake.happen("S", say("one"));
    await fork(fake, "S", "one", "F", "eins");
    fake.happen("S", null as unknown as HubEvent, { type: "branch", to: "G", position: at(ZERO, 0) });
    expect(seen(fake, "F", "eins")).toBe("S F G @1");
  });

  it("compare places by offsets, whatever the epoch", () => {
    const fake = hub();
    fake.happen("S", say("one"), say("two"), { type: "branch", to: "F", position: at("0000000000000007_", 1) });
    expect(seen(fake, "S", "two")).toBe("S F @0");
  });
});
