/** What a conversation's stream holds: the hub's events, as they stand in its JSON. */

/** Epoch and offset as opaque text; it sorts in the order of the records. */
export type Position = string;

/** Where to begin to read: `"start"`, `"now"`, or a position, which is that of the next record. */
export type From = Position;

/** Token counts; what an upstream never said is missing. */
export interface Usage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly cached_tokens?: number;
  /** The hub counted, because the upstream did not say. */
  readonly estimated?: boolean;
}

export interface Message {
  readonly type: "message";
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly text: string;
  readonly author?: string;
  readonly at?: string;
}

export interface Started {
  readonly type: "started";
  readonly generation: string;
  readonly upstream: string;
  readonly model?: string;
  readonly at?: string;
}

export interface ToolPiece {
  readonly index: number;
  readonly id?: string;
  readonly name?: string;
  readonly arguments?: string;
}

export interface Delta {
  readonly type: "delta";
  readonly generation: string;
  readonly text?: string;
  readonly reasoning?: string;
  readonly tool?: ToolPiece;
  /** The text is what the model said instead of an answer. */
  readonly refusal?: boolean;
}

/** The terminal events; `seconds` are to the first delta and to the end. */
interface Terminal {
  readonly generation: string;
  readonly usage?: Usage;
  readonly seconds?: { readonly first?: number; readonly total: number };
  readonly at?: string;
}

export interface Finished extends Terminal {
  readonly type: "finished";
  readonly reason: "stop" | "length" | "tool" | "filter";
}

export interface Failed extends Terminal {
  readonly type: "failed";
  readonly code: string;
  readonly message: string;
}

export interface Cancelled extends Terminal {
  readonly type: "cancelled";
}

export interface Interrupted extends Terminal {
  readonly type: "interrupted";
}

/** A request that failed is tried again in so many seconds. */
export interface Retrying {
  readonly type: "retrying";
  readonly generation?: string;
  readonly code?: string;
  readonly message: string;
  readonly after: number;
}

/** The conversation was forked: told in the source (`to`) and, first, in the fork (`from`). */
export interface Branch {
  readonly type: "branch";
  readonly to?: string;
  readonly from?: string;
  readonly position: Position;
}

export type HubEvent =
  | Message
  | Started
  | Delta
  | Finished
  | Failed
  | Cancelled
  | Interrupted
  | Retrying
  | Branch;

/** One event and the position after it. What is no known event passes through as it is. */
export interface Item {
  readonly event: HubEvent;
  /** The next to read after it. */
  readonly position: Position;
}
