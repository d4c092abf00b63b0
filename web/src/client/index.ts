/** The client library of a hub: `import { connect } from "…/client.js"`. */

import type { AssistantMessage, ChatMessage, GenerationState } from "../model/conversation.js";
import type { ControlItem } from "./source.js";

export { EMPTY, fold, rewind } from "../model/conversation.js";
export type { AssistantMessage, ChatMessage, GenerationState, State, ToolCall } from "../model/conversation.js";
export type { Queue, QueuedPrompt } from "../model/queue.js";
export { HubError } from "../protocol/errors.js";
export type * from "../protocol/events.js";
export type { Member, Status } from "../protocol/frames.js";
export type { Ask, Generation, QueueChange } from "./commands.js";
export { connect, type Hub, type Options } from "./hub.js";
export type { ControlItem, Handlers, Presence } from "./source.js";
export type { Token } from "./token.js";

/** @deprecated Use `ControlItem`. */
export type Told = ControlItem;
/** @deprecated Use `ChatMessage`. */
export type Said = ChatMessage;
/** @deprecated Use `AssistantMessage`. */
export type Reply = AssistantMessage;
/** @deprecated Use `GenerationState`. */
export type ReplyState = GenerationState;
