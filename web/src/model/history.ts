/**
 * The messages so far in the OpenAI chat format, for an upstream.
 *
 * For a new prompt the hub derives them from the stream. A retry has no new prompt, so the page
 * sends the messages before the reply.
 */

import type { AssistantMessage, ChatMessage, State } from "./conversation.js";

export interface PromptMessage extends Record<string, unknown> {
  readonly role: string;
  readonly content: string;
}

/** The messages of some turns, oldest first, without reasoning, tool calls and empty texts. */
export function history(turns: readonly (ChatMessage | AssistantMessage)[]): PromptMessage[] {
  return turns
    .map((turn) => ({ role: turn.kind === "reply" ? "assistant" : turn.role, content: turn.text }))
    .filter((message) => message.content !== "");
}

/**
 * The messages before a reply, to retry it.
 *
 * Failed attempts just before it are left out, or the upstream would take an incomplete reply for a
 * complete one.
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
