/** The hub as a page sees it: what `connect` gives. */

import type { From, HubEvent, Item, Position } from "./events.js";
import type { State } from "./state.js";

/** The connection, in one word and what goes with it. */
export type Status =
  | { readonly state: "connecting" }
  | { readonly state: "live"; readonly via: "websocket" | "sse" }
  /** It comes back by itself at `retryAt` (milliseconds since 1970), or with `retry()`. */
  | { readonly state: "offline"; readonly retryAt: number; readonly why: string }
  /** It does not come back: `close()` was called, or the hub said so (close codes 4500 to 4999). */
  | { readonly state: "closed"; readonly code: string; readonly message: string };

/** What a follower is told besides items. */
export interface Told {
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

export interface Ask {
  readonly stream?: string;
  readonly prompt?: string;
  readonly messages?: readonly Record<string, unknown>[];
  readonly upstream?: string;
  readonly model?: string;
  readonly author?: string;
  /** Idempotency key; one is made if none is given, so that a retried request has one effect. */
  readonly key?: string;
  readonly options?: Record<string, unknown>;
}

/** Somebody who takes part in a stream now: a tab, or a program. */
export interface Member {
  readonly member: string;
  readonly state: unknown;
  /** This is the caller. */
  readonly self: boolean;
}

export interface Presence {
  /** Tell the others another state. */
  set(state: unknown): void;
  leave(): void;
}

export interface Hub {
  readonly url: string;
  readonly status: Status;
  /** Be told each status, the present one at once; gives what ends that. */
  onStatus(told: (status: Status) => void): () => void;
  /** Try to connect now. */
  retry(): void;

  /** The callback form; gives what ends it. */
  follow(stream: string, options: { readonly from?: From } & Handlers): () => void;
  /** The async iterable form: items, and control items that say `reset` or `closed`. */
  follow(
    stream: string,
    options?: { readonly from?: From; readonly signal?: AbortSignal },
  ): AsyncIterable<Item | Told>;
  /** Follow a stream from its start, or `from` elsewhere, folded; resets are applied. Gives what ends it. */
  conversation(
    stream: string,
    told: (state: State) => void,
    more?: Pick<Handlers, "lag" | "waiting" | "failed"> & { readonly from?: From },
  ): () => void;

  generate(ask: Ask): Promise<{ generation: string; stream: string }>;
  cancel(generation: string): Promise<void>;
  /** Gives the position after the event. The stream begins with its first event. */
  append(stream: string, event: HubEvent | Record<string, unknown>): Promise<Position>;
  /** Begin `stream` with what `source` holds before `position`, its tail if none. */
  fork(stream: string, source: string, position?: Position): Promise<void>;
  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence;
  /** The models that can be asked, the default one first. */
  models(): Promise<readonly string[]>;
  close(): void;
}

/** What the hub refused, in one sentence for people and a code for programs. */
export class HubError extends Error {
  override readonly name = "HubError";

  constructor(
    readonly code: string,
    message: string,
    /** The HTTP status; 0 where there was none: not reached (`unreachable`), or refused over a WebSocket. */
    readonly status = 0,
  ) {
    super(message);
  }
}
