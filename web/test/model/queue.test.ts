import { describe, expect, it } from "vitest";

import { EMPTY, fold, rewind, type State } from "../../src/model/conversation.js";
import type { HubEvent } from "../../src/protocol/events.js";
import { at, ZERO } from "../../src/protocol/position.js";

function folded(events: readonly Record<string, unknown>[], from: State = EMPTY): State {
  return events.reduce<State>((state, event, i) => fold(state, { event: event as unknown as HubEvent, position: at(ZERO, i + 1) }), from);
}

const queued = (generation: string, text: string, place: number, stream = "S"): Record<string, unknown> => ({
  type: "queued", generation, text, place, stream,
});
const texts = ({ queue }: State): string[] => queue.prompts.map(({ text }) => text);

describe("a queue", () => {
  it("takes in, changes and moves prompts", () => {
    const state = folded([queued("a", "A", 1), queued("b", "B", 2), queued("c", "C", 1), queued("a", "a!", 2)]);
    expect(texts(state)).toEqual(["C", "a!", "B"]);
  });

  it("gives them up as they begin or are dropped", () => {
    const both = [queued("a", "A", 1), queued("b", "B", 2)];
    expect(texts(folded([...both, { type: "started", generation: "a" }]))).toEqual(["B"]);
    expect(texts(folded([...both, { type: "dropped", generation: "b" }]))).toEqual(["A"]);
  });

  it("is held after a reply that did not finish, until another starts", () => {
    const held = folded([queued("a", "A", 1), { type: "cancelled", generation: "g", held: true }]);
    expect(held.queue.held).toBe(true);
    const on = [queued("a", "A", 1), queued("b", "B", 2), { type: "cancelled", generation: "g", held: true }, { type: "started", generation: "b" }];
    expect(folded(on).queue).toEqual({ prompts: [{ generation: "a", text: "A" }], held: false });
    expect(folded([{ type: "cancelled", generation: "g", held: true }]).queue.held).toBe(false);
  });

  it("of a fork does not have what waits in its source", () => {
    expect(texts(folded([queued("a", "A", 1, "source")], { ...EMPTY, stream: "fork" }))).toEqual([]);
  });

  it("goes back with the conversation", () => {
    const events = [queued("a", "A", 1), { type: "message", role: "user", text: "A" }, { type: "started", generation: "a" }];
    const state = folded(events, { ...EMPTY, stream: "S" });
    expect(texts(state)).toEqual([]);
    const back = rewind(state, at(ZERO, 2));
    expect(texts(back)).toEqual(["A"]);
    expect(back.stream).toBe("S");
    expect(rewind(state, at(ZERO, 0)).stream).toBe("S");
  });

  it("ignores what is not as it should be", () => {
    expect(texts(folded([{ type: "queued", generation: 5, text: "x", stream: "S" }, { type: "queued", text: "y" }]))).toEqual([]);
  });
});
