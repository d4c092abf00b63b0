/** The source of a page's streams: its own connection, or one that its tabs share. */

import type { HubError } from "../protocol/errors.js";
import type { From, Item, Position } from "../protocol/events.js";
import type { Member, SignalListener, Status } from "../protocol/frames.js";

export interface Source {
  follow(stream: string, from: From, listener: SignalListener): () => void;
  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence;
  /** Connect now or, if connected, check the connection. */
  retry(): void;
  /** The browser reports that it is offline. */
  offline(): void;
  close(): void;
}

export type StatusListener = (status: Status) => void;

/** What a follower receives besides items. */
export interface ControlItem {
  /** Continue at `position`: items after it are void, or those before it are gone. */
  readonly reset?: { readonly position: Position; readonly reason: string };
  /** The stream is closed. */
  readonly closed?: boolean;
}

export interface Handlers {
  /** Items that arrived together, in order; never empty. */
  items(items: readonly Item[]): void;
  reset?(position: Position, reason: string): void;
  closed?(): void;
  /** The last known number of records between this follower and the tail; 0 is live. */
  lag?(records: number): void;
  /** The stream does not exist yet; items arrive when it does. */
  waiting?(): void;
  /** The stream cannot be followed, because of a permanent error; also if the hub refuses the token. */
  failed?(error: HubError): void;
}

/** Follows a stream; returns a function that stops it. */
export type Follow = (from: From, handlers: Handlers) => () => void;

export interface Presence {
  /** Change the state that the others see. */
  set(state: unknown): void;
  leave(): void;
}
