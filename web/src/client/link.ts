/**
 * A link: one live way to the hub, as long as it lasts; and what is told over it.
 *
 * Links do not come back. Whoever uses one is told of its end and opens another.
 */

import type { From, HubEvent, Item, Position } from "./events.js";
import type { HubError } from "./hub.js";
import { at, offsetOf } from "./position.js";

/** Who follows one stream over a link. */
export interface Sink {
  /** It is followed from `position` on. `null`: it does not exist yet; not given: unknown. */
  begun(position: Position | null | undefined, tail: Position | null | undefined): void;
  /** `size` is that of their JSON, about. */
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

/** What becomes of a link: opened at most once, then one of the others, once. */
export interface Fate {
  opened(): void;
  /** It broke; come back, after so many milliseconds if the hub said so. */
  lost(why: string, after?: number): void;
  /** The hub does not want this client back. */
  dismissed(code: string, message: string): void;
}

/** The longest silence of a link that lives: the hub speaks every 20 s if it has nothing to say. */
export const SILENCE = 50_000;

/** How long a link may take to open, or to answer when it is checked. */
export const PATIENCE = 10_000;

/** The items of events that came together; `offsets` after each where they do not stand in a row. */
export function itemsOf(events: readonly HubEvent[], position: Position, offsets?: readonly number[]): Item[] {
  const end = offsetOf(position) + 1 - events.length;
  return events.map((event, i) => ({ event, position: at(position, offsets?.[i] ?? end + i) }));
}
