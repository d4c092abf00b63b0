/** Turns of a conversation, and the resulting state. */

import { type AssistantMessage, type ChatMessage, EMPTY, type State } from "../../src/model/conversation.js";

const REPLY: AssistantMessage = {
  kind: "reply",
  before: "p",
  generation: "g",
  upstream: "demo",
  text: "",
  reasoning: "",
  tools: [],
  refusal: false,
  state: "running",
};
/** A running reply with other fields. */
export const reply = (more: Partial<AssistantMessage>): AssistantMessage => ({ ...REPLY, ...more });

export const user = (text: string): ChatMessage => ({ kind: "message", role: "user", text, before: text });

export const state = (...turns: (ChatMessage | AssistantMessage)[]): State => ({ ...EMPTY, turns, all: turns });
