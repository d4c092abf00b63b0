/**
 * What was said so far, as an upstream wants to be told: the OpenAI chat shape.
 *
 * The hub makes the same of a stream itself when it is given a prompt. Trying a reply again
 * is not a new prompt, so the page says what was said before that reply.
 */

import type { AssistantMessage, ChatMessage, State } from "./conversation.js";

export interface PromptMessage extends Record<string, unknown> {
  readonly role: string;
  readonly content: string;
}

/** The messages of some turns, oldest first; reasoning, tool calls and empty texts are left out. */
export function history(turns: readonly (ChatMessage | AssistantMessage)[]): PromptMessage[] {
  return turns
    .map((turn) => ({ role: turn.kind === "reply" ? "assistant" : turn.role, content: turn.text }))
    .filter((message) => message.content !== "");
}

/**
 * What to ask to have a reply again: what was said before it.
 *
 * A try just before it that also went wrong is left out, or the upstream would be told the
 * beginnings of an answer as if it were one.
 */
export function before(state: State, reply: AssistantMessage): PromptMessage[] {
  const at = state.turns.findIndex((turn) => turn.kind === "reply" && turn.generation === reply.generation);
  let end = at < 0 ? state.turns.length : at;
  while (end > 0 && state.turns[end - 1]?.kind === "reply") end -= 1;
  return history(state.turns.slice(0, end));
}

/** The message that a reply answers. */
export function prompted(state: State, reply: AssistantMessage): ChatMessage | undefined {
  let last: ChatMessage | undefined;
  for (const turn of state.turns) {
    if (turn.kind === "message" && turn.role === "user") last = turn;
    else if (turn.kind === "reply" && turn.generation === reply.generation) return last;
  }
  return undefined;
}
