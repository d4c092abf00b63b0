/**
 * What travels between a page and the hub, and between a tab and the worker that tabs share.
 *
 * A `Link` is one live way to the hub. Links do not come back: whoever uses one is told when it
 * ends and opens another. What arrives over a link goes to a `Sink`; what a subscriber hears of
 * it is a `Signal`, which crosses the worker's port as it is.
 */

import type { HubError } from "./errors.js";
import type { From, HubEvent, Item, Position } from "./events.js";
import { at, offsetOf } from "./position.js";

/** The connection, in one word and what goes with it. */
export type Status =
  | { readonly state: "connecting" }
  | { readonly state: "live"; readonly via: "websocket" | "sse" }
  /** It comes back by itself at `retryAt` (milliseconds since 1970), or with `retry()`. */
  | { readonly state: "offline"; readonly retryAt: number; readonly why: string }
  /** It does not come back: `close()` was called, or the hub said so (close codes 4500 to 4999). */
  | { readonly state: "closed"; readonly code: string; readonly message: string };

/** Somebody who takes part in a stream now: a tab, or a program. */
export interface Member {
  readonly member: string;
  readonly state: unknown;
  /** This is the caller. */
  readonly self: boolean;
}

// Links

/** Receives what a link delivers for one stream. */
export interface Sink {
  /** It is followed from `position` on. `null`: it does not exist yet; not given: unknown. */
  begun(position: Position | null | undefined, tail: Position | null | undefined): void;
  /** `size` is about that of their JSON. */
  items(items: readonly Item[], size: number): void;
  reset(position: Position, reason: string): void;
  closed(): void;
  refused(error: HubError): void;
  /** Who came, or has another state, and who left; first of all, who is there. */
  members?(joined: readonly Joined[], left: readonly string[]): void;
  /** The public name of who joined as `label`. */
  named?(label: string, member: string): void;
}

export interface Joined {
  readonly member: string;
  readonly state: unknown;
}

export interface Link {
  follow(stream: string, from: From, sink: Sink): void;
  leave(stream: string): void;
  /** Take part in a stream that is followed, as one of this link's members; `null` leaves. */
  join(stream: string, label: string, state: unknown): void;
  /** Find out soon whether it is still there. */
  check(): void;
  close(): void;
}

/** What happens to a link: it opens at most once; then one of the others, once. */
export interface LinkEvents {
  opened(): void;
  /** It broke; come back, after so many milliseconds if the hub said so. */
  lost(why: string, after?: number): void;
  /** The hub does not want this client back. */
  dismissed(code: string, message: string): void;
}

/** The longest silence of a link that lives, in milliseconds: the hub beats every 20 s. */
export const SILENCE = 50_000;

/** How long a link may take to open, or to answer when it is checked, in milliseconds. */
export const PATIENCE = 10_000;

/** The items of events that came together; `offsets` after each where they are not consecutive. */
export function itemsOf(events: readonly HubEvent[], position: Position, offsets?: readonly number[]): Item[] {
  const end = offsetOf(position) + 1 - events.length;
  return events.map((event, i) => ({ event, position: at(position, offsets?.[i] ?? end + i) }));
}

// Signals

/**
 * What a subscriber is told. `placed` says where it stands before it is given any items; `lag` is
 * the number of records to the tail. Tabs and workers of other versions know these names.
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

/** From a tab to the worker; `id` names one of the tab's subscriptions or participations. */
export type TabMessage =
  /** The tab lives as long as this lock is held. */
  | { readonly verb: "hello"; readonly lock: string }
  | { readonly verb: "follow"; readonly id: number; readonly stream: string; readonly from: From }
  | { readonly verb: "presence"; readonly id: number; readonly stream: string; readonly state: unknown }
  | { readonly verb: "set"; readonly id: number; readonly state: unknown }
  | { readonly verb: "stop"; readonly id: number }
  /** `ACKNOWLEDGED` more signals with items were taken. */
  | { readonly verb: "taken"; readonly id: number }
  | { readonly verb: "retry" | "offline" | "bye" };

/** From the worker to a tab: the answer to `hello`, each status, and what is meant for one `id`. */
export type WorkerMessage =
  | { readonly lock: string }
  | { readonly status: Status }
  | ({ readonly id: number } & PortSignal);

export type PortSignal =
  | Signal
  | { readonly name: "members"; readonly told: readonly Member[] }
  /** The tab takes too little: it is to follow again, from where it is when it hears this. */
  | { readonly name: "behind"; readonly told?: undefined };

export const ACKNOWLEDGED = 64;

/** So many signals with items may be sent to a tab that takes nothing. */
export const UNTAKEN = 1024;

/** The worker's name: another format of messages needs another worker. */
export const WORKER = "streamhub 1";
