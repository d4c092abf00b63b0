/** Versions as earlier pages made them: conversations of their own. */

import { lineage } from "../../src/model/branches.js";
import type { ChatMessage, State } from "../../src/model/conversation.js";
import type { HubEvent, Position } from "../../src/protocol/events.js";
import { offsetOf } from "../../src/protocol/position.js";
import type { FakeHub } from "./fake-hub.js";

interface Place {
  readonly source: string;
  readonly position: Position;
}

/** Where another version of a message starts. */
export function place(stream: string, state: State, message: ChatMessage): Place {
  const at = offsetOf(message.before);
  let source = stream;
  for (const { stream: ancestor, until } of lineage(stream, state.branches)) {
    if (until === undefined) break;
    if (at < offsetOf(until)) return { source: ancestor, position: message.before };
    const head = state.turns.find((turn) => offsetOf(turn.before) >= offsetOf(until));
    if (head && offsetOf(head.before) === at) return { source: ancestor, position: until };
    source = stream;
  }
  return { source, position: message.before };
}

/** Begin a fork at a place, and say something there. */
export async function forkAt(hub: FakeHub, { source, position }: Place, stream: string, ...said: HubEvent[]): Promise<void> {
  await hub.fork(stream, source, position);
  hub.happen(stream, { type: "branch", from: source, position }, ...said);
  hub.happen(source, { type: "branch", to: stream, position });
}
