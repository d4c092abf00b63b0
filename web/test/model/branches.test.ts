import { describe, expect, it } from "vitest";

import { ForkWatcher } from "../../src/chat/fork-watcher.js";
import { lineage, place, versions } from "../../src/model/branches.js";
import { type ChatMessage, EMPTY, fold, type State } from "../../src/model/conversation.js";
import type { Branch, HubEvent } from "../../src/protocol/events.js";
import { at, ZERO } from "../../src/protocol/position.js";
import { FakeHub } from "../support/fake-hub.js";

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
  const { source, position } = place(shown, read(fake, shown), said(read(fake, shown), text));
  await fake.fork(stream, source, position);
  fake.happen(stream, { type: "branch", from: source, position }, say(instead));
  fake.happen(source, { type: "branch", to: stream, position });
}

/** The versions of a message as the reader of `shown` sees them. */
function seen(fake: FakeHub, shown: string, text: string): string {
  const state = read(fake, shown);
  let told: ReadonlyMap<string, readonly Branch[]> = new Map();
  const watcher = new ForkWatcher(fake, (now) => (told = now));
  watcher.follow(shown, state.branches);
  const found = versions(shown, state, told).get(said(state, text));
  watcher.stop();
  return found ? `${found.streams.join(" ")} @${found.shown}` : "one";
}

describe("versions of a message", () => {
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
