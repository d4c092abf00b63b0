/** What is said between a tab and the worker that all tabs of a page share. */

import type { From, Position } from "./events.js";
import type { HubError, Member, Status } from "./hub.js";
import type { Item } from "./events.js";

/** A tab's words; `id` names one of its followings or participations. */
export type Asked =
  /** The tab lives as long as this lock is held. */
  | { readonly verb: "hello"; readonly lock: string }
  | { readonly verb: "follow"; readonly id: number; readonly stream: string; readonly from: From }
  | { readonly verb: "presence"; readonly id: number; readonly stream: string; readonly state: unknown }
  | { readonly verb: "set"; readonly id: number; readonly state: unknown }
  | { readonly verb: "stop"; readonly id: number }
  /** `ACKNOWLEDGED` more of what was told was taken. */
  | { readonly verb: "taken"; readonly id: number }
  | { readonly verb: "retry" | "offline" | "bye" };

/** The worker's answer to `hello`, each status, and what the followings and participations are told. */
export type Answered =
  | { readonly lock: string }
  | { readonly status: Status }
  | ({ readonly id: number } & Words);

export type Words =
  | { readonly name: "placed"; readonly told: Position }
  | { readonly name: "items"; readonly told: readonly Item[] }
  | { readonly name: "reset"; readonly told: readonly [Position, string] }
  | { readonly name: "lag"; readonly told: number }
  | { readonly name: "closed" | "waiting"; readonly told?: undefined }
  | { readonly name: "failed"; readonly told: Pick<HubError, "code" | "message" | "status"> }
  | { readonly name: "members"; readonly told: readonly Member[] }
  /** The tab takes too little: it is to follow again, from where it is when it hears this. */
  | { readonly name: "behind"; readonly told?: undefined };

export const ACKNOWLEDGED = 64;

/** So much may be told to a tab that takes nothing. */
export const UNTAKEN = 1024;

/** The worker's name: other words, another worker. */
export const WORKER = "streamhub 1";
