/** Where a page has its streams from: a connection of its own, or one that its tabs share. */

import type { From } from "./events.js";
import type { Told } from "./follower.js";
import type { Member, Presence, Status } from "./hub.js";

export interface Source {
  follow(stream: string, from: From, told: Told): () => void;
  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence;
  /** Try to connect now, if it is not; if it is, find out whether it still is. */
  retry(): void;
  /** The network is said to be gone. */
  offline(): void;
  close(): void;
}

export type ToldStatus = (status: Status) => void;
