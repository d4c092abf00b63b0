/** The events in a conversation's stream, in the hub's JSON. */

/** Epoch and offset as opaque text, which sorts in stream order. */
export type Position = string;

/** Where to start reading: `"start"`, `"now"`, or the position of the next record. */
export type From = Position;

/** Token counts, without those that the upstream did not report. */
export interface Usage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly cached_tokens?: number;
  /** The hub estimated some counts that the upstream did not report. */
  readonly estimated?: boolean;
}

export interface Message {
  readonly type: "message";
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly text: string;
  readonly author?: string;
  readonly at?: string;
  /** What an `after` calls it. */
  readonly id?: string;
  readonly after?: After;
}

export interface Started {
  readonly type: "started";
  readonly generation: string;
  readonly upstream: string;
  readonly model?: string;
  readonly at?: string;
  /** What an `after` calls it, besides its generation. */
  readonly message?: string;
  readonly after?: After;
}

/**
 * What a message or a reply follows: the `id` of a message, the generation or the `message` of a
 * reply, or whatever began last before a position; `null` is the beginning.
 */
export type After = string | null;

export interface ToolPiece {
  readonly index: number;
  readonly id?: string;
  readonly name?: string;
  readonly arguments?: string;
}

/** A citation; its fields are under the name of its type. */
export interface Annotation {
  readonly type: string;
  readonly url_citation?: { readonly url: string; readonly title?: string };
  readonly file_citation?: { readonly filename?: string };
}

/** A tool that the provider ran, with its result. */
export interface ExecutedTool {
  readonly name: string;
  readonly id?: string;
  /** JSON text. */
  readonly arguments?: string;
  readonly output?: unknown;
  readonly error?: boolean;
}

/** A picture or sound: whole, a preview of one, or a piece of one. */
export interface MediaPiece {
  readonly media_type: string;
  readonly index: number;
  /** Base64. */
  readonly data?: string;
  readonly url?: string;
  readonly piece?: boolean;
  readonly preview?: boolean;
}

export interface Delta {
  readonly type: "delta";
  readonly generation: string;
  readonly text?: string;
  readonly reasoning?: string;
  readonly tool?: ToolPiece;
  /** The text is a refusal instead of a reply. */
  readonly refusal?: boolean;
  readonly annotations?: readonly Annotation[];
  readonly executed_tools?: readonly ExecutedTool[];
  readonly media?: readonly MediaPiece[];
}

/** Terminal events; `seconds` is the time to the first delta and to the end. */
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

/** A prompt waits in `stream`; told again, its text or its place has changed. */
export interface Queued {
  readonly type: "queued";
  readonly generation: string;
  readonly stream: string;
  readonly text: string;
  readonly author?: string;
  /** 1 is the next one. */
  readonly place: number;
  readonly at?: string;
}

/** A queued prompt waits no more. If it could not begin, `code` and `message` say why. */
export interface Dropped {
  readonly type: "dropped";
  readonly generation: string;
  readonly code?: string;
  readonly message?: string;
}

/** A failed request is retried after this many seconds. */
export interface Retrying {
  readonly type: "retrying";
  readonly generation: string;
  readonly code?: string;
  readonly message: string;
  readonly after: number;
}

/** The conversation was forked: appended to the source (`to`), and the first event of the fork (`from`). */
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
  | Queued
  | Dropped
  | Retrying
  | Branch;

/** An event and the position after it. Unknown events are passed through. */
export interface Item {
  readonly event: HubEvent;
  /** The position after it, to read next. */
  readonly position: Position;
}
