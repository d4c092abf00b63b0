/** Where a page has its streams from: a connection of its own, or one that its tabs share. */

import type { HubError } from "../protocol/errors.js";
import type { From, Item, Position } from "../protocol/events.js";
import type { Member, SignalListener, Status } from "../protocol/frames.js";

export interface Source {
  follow(stream: string, from: From, listener: SignalListener): () => void;
  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence;
  /** Try to connect now, if it is not; if it is, find out whether it still is. */
  retry(): void;
  /** The network is said to be gone. */
  offline(): void;
  close(): void;
}

export type StatusListener = (status: Status) => void;

/** What a follower is told besides items. */
export interface ControlItem {
  /** Go on at `position`: what was read from there on is void, or what lies before it is gone. */
  readonly reset?: { readonly position: Position; readonly reason: string };
  /** The stream has ended. */
  readonly closed?: boolean;
}

export interface Handlers {
  /** Items that came together, in order; never an empty list. */
  items(items: readonly Item[]): void;
  reset?(position: Position, reason: string): void;
  closed?(): void;
  /** Records between this follower and the tail, when that was last known; 0 is live. */
  lag?(records: number): void;
  /** The stream does not exist yet; items come when it does. */
  waiting?(): void;
  /** It cannot be followed: an error that does not go away by itself. */
  failed?(error: HubError): void;
}

/** Follows a stream; gives what ends it. */
export type Follow = (from: From, handlers: Handlers) => () => void;

export interface Presence {
  /** Tell the others another state. */
  set(state: unknown): void;
  leave(): void;
}
