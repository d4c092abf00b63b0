/** The client library of a hub: `import { connect } from "…/client.js"`. */

export { connect, type Options } from "./connect.js";
export type * from "./events.js";
export * from "./hub.js";
export { EMPTY, fold, rewind } from "./state.js";
export type { Reply, ReplyState, Said, State, ToolCall } from "./state.js";
