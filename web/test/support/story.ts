/** Random conversations, and their records as the hub merges them. */

import type { State } from "../../src/model/conversation.js";
import type { Delta, HubEvent, Item } from "../../src/protocol/events.js";
import type { Chance } from "./random.js";

const PIECES = ["Fire", "works ", "at ", "the ", "é", "你好", "\n\n", "🎆", "```", " "];

/** Events as a hub writes them: turns may overlap, and each reply ends once. */
export class Story {
  readonly #chance: Chance;
  readonly #running: string[] = [];
  #count = 0;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  next(): HubEvent {
    const chance = this.#chance;
    const generation = this.#running.at(-1);
    if (generation === undefined || chance.once(30)) {
      if (chance.once(2)) return { type: "message", role: "user", text: chance.pick(PIECES) };
      if (chance.once(12)) return { type: "branch", to: "other", position: "0000000000000000_0000000000000001" };
      if (chance.once(12)) return { type: "metrics", of: [1] } as never;
      const begun = `gen_${this.#count++}`;
      this.#running.push(begun);
      return { type: "started", generation: begun, upstream: "demo", model: "m" };
    }
    if (chance.once(25)) {
      const ended = this.#running.splice(chance.below(this.#running.length), 1)[0] ?? "";
      if (chance.once(3)) return { type: "failed", generation: ended, code: "upstream_stalled", message: "no word" };
      if (chance.once(3)) return { type: "cancelled", generation: ended };
      return { type: "finished", generation: ended, reason: "stop", usage: { completion_tokens: 3 } };
    }
    const of = chance.pick(this.#running);
    if (chance.once(40)) return { type: "retrying", generation: of, message: "busy", after: 1 };
    if (chance.once(6)) return { type: "delta", generation: of, reasoning: chance.pick(PIECES) };
    if (chance.once(10)) return { type: "delta", generation: of, tool: { index: 0, id: `c${this.#count++}`, name: "look" } };
    if (chance.once(6)) return { type: "delta", generation: of, tool: { index: 0, arguments: chance.pick(PIECES) } };
    return { type: "delta", generation: of, text: chance.pick(PIECES) };
  }
}

/** Merges consecutive deltas, as `hub/frames/coalesce.py` does. */
export function merged(items: readonly Item[]): Item[] {
  const found: Item[] = [];
  for (const item of items) {
    const last = found.at(-1);
    const joined = last && join(last.event, item.event);
    if (joined) found[found.length - 1] = { event: joined, position: item.position };
    else found.push(item);
  }
  return found;
}

function join(one: HubEvent, two: HubEvent): Delta | undefined {
  if (one.type !== "delta" || two.type !== "delta" || one.generation !== two.generation) return undefined;
  const { generation } = one;
  if (one.text && two.text) return { type: "delta", generation, text: one.text + two.text };
  if (one.reasoning && two.reasoning) return { type: "delta", generation, reasoning: one.reasoning + two.reasoning };
  if (one.tool && two.tool && !one.tool.id && !two.tool.id && one.tool.index === two.tool.index) {
    const both = (one.tool.arguments ?? "") + (two.tool.arguments ?? "");
    return { type: "delta", generation, tool: { index: one.tool.index, arguments: both } };
  }
  return undefined;
}

/** The visible part of a state, without what is only for rewinding. */
export function shown(state: State): Omit<State, "past"> {
  const { turns, all, position, running, branches, queue, closed } = state;
  return { turns, all, position, running, branches, queue, closed };
}
