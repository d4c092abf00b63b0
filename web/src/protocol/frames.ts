/**
 * The messages between a page and the hub, and between a tab and the worker that tabs share.
 *
 * A `Link` is one open connection to the hub. Links do not reconnect: whoever uses one is notified
 * when it ends and opens another. A `Sink` receives what a link delivers. A subscriber receives
 * `Signal`s, which pass through the worker's port unchanged.
 */

import { HubError } from "./errors.js";
import type { From, HubEvent, Item, Position } from "./events.js";
import { at, offsetOf } from "./position.js";

/** The status of the connection. */
export type Status =
  | { readonly state: "connecting" }
  | { readonly state: "live"; readonly via: "websocket" | "sse" }
  /** It reconnects by itself at `retryAt` (milliseconds since 1970), or with `retry()`. */
  | { readonly state: "offline"; readonly retryAt: number; readonly why: string }
  /**
   * It does not reconnect: `close()` was called (code `closed`), or the hub said so. It refuses the
   * token or needs one (`unauthorized`, `invalid_token`, `invalid_api_key`, `not_permitted`), the
   * token was `revoked` or has expired for good (`token_expired`), or `close_4500` to `close_4999`.
   */
  | { readonly state: "closed"; readonly code: string; readonly message: string };

/** A current member of a stream: a tab or a program. */
export interface Member {
  readonly member: string;
  readonly state: unknown;
  /** Whether it is the caller. */
  readonly self: boolean;
}

// Links

/** Receives what a link delivers for one stream. */
export interface Sink {
  /** The stream is followed from `position` on. `null`: it does not exist yet; missing: unknown. */
  begun(position: Position | null | undefined, tail: Position | null | undefined): void;
  /** `size` is the approximate size of their JSON. */
  items(items: readonly Item[], size: number): void;
  reset(position: Position, reason: string): void;
  closed(): void;
  refused(error: HubError): void;
  /** Members that joined or changed, and those that left; the first call has all members. */
  members?(joined: readonly Joined[], left: readonly string[]): void;
  /** The public name of the member that joined as `label`. */
  named?(label: string, member: string): void;
}

export interface Joined {
  readonly member: string;
  readonly state: unknown;
}

export interface Link {
  follow(stream: string, from: From, sink: Sink): void;
  leave(stream: string): void;
  /** Join a stream that is followed as one of this link's members; `null` leaves. */
  join(stream: string, label: string, state: unknown): void;
  /** Check soon that the connection still works. */
  check(): void;
  close(): void;
}

/** The events of a link: it opens at most once, and then one of the others occurs once. */
export interface LinkEvents {
  opened(): void;
  /** It broke off; reconnect, after this many milliseconds if the hub said so. */
  lost(why: string, after?: number): void;
  /** The hub does not accept the token, or no longer; `token_expired`: another one may help. */
  denied(error: HubError): void;
  /** The client must not reconnect. */
  dismissed(code: string, message: string): void;
}

/** The longest silence of a working link in milliseconds; the hub sends heartbeats every 20 s. */
export const SILENCE = 50_000;

/** How long a link may take to open, or to respond to a check, in milliseconds. */
export const PATIENCE = 10_000;

// Frames

/** All fields that frames of the hub may have. */
export interface ServerFrame {
  readonly type: string;
  readonly id?: number;
  readonly stream: string;
  readonly position?: Position | null;
  readonly tail?: Position | null;
  readonly events: readonly HubEvent[];
  readonly offsets?: readonly number[];
  readonly reason: string;
  readonly code: string;
  readonly message: string;
  readonly member: string;
  readonly joined?: readonly Joined[];
  readonly left?: readonly string[];
  readonly retry_ms: number;
  readonly expires_in?: number | null;
}

/** Give a stream's sink what a frame of the hub tells about it. */
export function deliver(frame: ServerFrame, sink: Sink | undefined, size: number): void {
  const position = frame.position ?? "";
  switch (frame.type) {
    case "events":
      sink?.items(itemsOf(frame.events, position, frame.offsets), size);
      break;
    case "reset":
      sink?.reset(position, frame.reason);
      break;
    case "closed":
      sink?.closed();
      break;
    case "presence":
      sink?.members?.(frame.joined ?? [], frame.left ?? []);
      break;
    case "error":
      // The stream cannot be followed, or not any more.
      sink?.refused(new HubError(frame.code, frame.message));
  }
}

/** The items of events that arrived together; `offsets` has the offset after each if they are not consecutive. */
export function itemsOf(events: readonly HubEvent[], position: Position, offsets?: readonly number[]): Item[] {
  const end = offsetOf(position) + 1 - events.length;
  return events.map((event, i) => ({ event, position: at(position, offsets?.[i] ?? end + i) }));
}

// Signals

/**
 * What a subscriber receives. `placed` is its position before the first items; `lag` is the number
 * of records to the tail. Tabs and workers of other versions depend on these names.
 */
export type Signal =
  | { readonly name: "placed"; readonly told: Position }
  | { readonly name: "items"; readonly told: readonly Item[] }
  | { readonly name: "reset"; readonly told: readonly [Position, string] }
  | { readonly name: "lag"; readonly told: number }
  | { readonly name: "closed" | "waiting"; readonly told?: undefined }
  | { readonly name: "failed"; readonly told: Pick<HubError, "code" | "message" | "status"> };

export type SignalListener = (signal: Signal) => void;

// Ports

/**
 * The tabs with the same one share a connection. For a `subject`, their tokens are asked for; for an
 * `account`, the browser has a cookie.
 */
export type Credential = { readonly token: string } | { readonly subject: string } | { readonly account: string };

/** From a tab to the worker; `id` identifies one of the tab's subscriptions or participations. */
export type TabMessage =
  /** The tab is alive as long as this lock is held. */
  | { readonly verb: "hello"; readonly lock: string; readonly credential: Credential | undefined }
  /** The response to `wanted`; without a token, the tab has none. */
  | { readonly verb: "token"; readonly id: number; readonly token: string | undefined }
  | { readonly verb: "follow"; readonly id: number; readonly stream: string; readonly from: From }
  | { readonly verb: "presence"; readonly id: number; readonly stream: string; readonly state: unknown }
  | { readonly verb: "set"; readonly id: number; readonly state: unknown }
  | { readonly verb: "stop"; readonly id: number }
  /** The tab has read `ACKNOWLEDGED` more signals with items. */
  | { readonly verb: "taken"; readonly id: number }
  | { readonly verb: "retry" | "offline" | "bye" };

/**
 * From the worker to a tab: the response to `hello`, each status, a request for the tab's token with
 * this number, and the signals for one `id`.
 */
export type WorkerMessage =
  | { readonly lock: string }
  | { readonly status: Status }
  | { readonly wanted: number }
  | ({ readonly id: number } & PortSignal);

export type PortSignal =
  | Signal
  | { readonly name: "members"; readonly told: readonly Member[] }
  /** The tab reads too slowly: it must follow again, from its position when it receives this. */
  | { readonly name: "behind"; readonly told?: undefined };

export const ACKNOWLEDGED = 64;

/** The most signals with items to send to a tab that reads nothing. */
export const UNTAKEN = 1024;

/** The worker's name; another message format needs another worker. */
export const WORKER = "streamhub 2";
