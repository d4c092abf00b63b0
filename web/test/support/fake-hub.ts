/** A hub without a network: streams in memory, synchronous delivery, and errors on demand. */

import type { Ask, Generation, QueueChange } from "../../src/client/commands.js";
import type { Hub } from "../../src/client/hub.js";
import type { Handlers, Presence } from "../../src/client/source.js";
import { nameOf, newest } from "../../src/model/branches.js";
import { EMPTY, fold, placeOf, rewind, type State } from "../../src/model/conversation.js";
import { HubError } from "../../src/protocol/errors.js";
import type { HubEvent, Item, Position } from "../../src/protocol/events.js";
import type { Member, Status } from "../../src/protocol/frames.js";
import { at, ZERO } from "../../src/protocol/position.js";

interface Follower {
  stream: string;
  from: number;
  handlers: Handlers;
}

export class FakeHub implements Hub {
  readonly url = "http://hub.test/";
  status: Status = { state: "live", via: "websocket" };
  readonly streams = new Map<string, HubEvent[]>();
  readonly asked: Ask[] = [];
  readonly cancelled: string[] = [];
  readonly changes: [string, QueueChange][] = [];
  readonly queued: string[] = [];
  readonly told: { stream: string; state: unknown }[] = [];
  members: readonly Member[] = [];
  retries = 0;
  /** Errors for the next commands. */
  readonly refusals: Error[] = [];
  /** Commands wait for this. */
  gate: Promise<void> = Promise.resolve();
  readonly #followers = new Set<Follower>();
  readonly #listeners = new Set<(status: Status) => void>();
  readonly #companions = new Set<(members: readonly Member[]) => void>();
  readonly #keys = new Map<string, { generation: string; stream: string }>();
  #generations = 0;

  get followers(): number {
    return this.#followers.size + this.#listeners.size + this.#companions.size;
  }

  onStatus(told: (status: Status) => void): () => void {
    this.#listeners.add(told);
    told(this.status);
    return () => this.#listeners.delete(told);
  }

  become(status: Status): void {
    this.status = status;
    for (const told of this.#listeners) told(status);
  }

  retry(): void {
    this.retries += 1;
  }

  follow(stream: string, options: { from?: string } & Handlers): () => void;
  follow(stream: string): AsyncIterable<Item>;
  follow(stream: string, options?: { from?: string } & Handlers): (() => void) | AsyncIterable<Item> {
    if (!options) throw new Error("the fake has the callback form alone");
    const from = !options.from || options.from === "start" ? 0 : Number(options.from.slice(17));
    const follower = { stream, from, handlers: options };
    this.#followers.add(follower);
    const held = this.streams.get(stream);
    if (!held) options.waiting?.();
    else if (held.length > from) options.items(items(held, from));
    return () => this.#followers.delete(follower);
  }

  conversation(
    stream: string,
    told: (state: State) => void,
    more: Pick<Handlers, "lag" | "waiting" | "failed"> & { readonly from?: string } = {},
  ): () => void {
    let state = EMPTY;
    return this.follow(stream, {
      ...more,
      items: (came) => {
        for (const item of came) state = fold(state, item);
        told(state);
      },
      reset: (position) => {
        state = rewind(state, position);
        told(state);
      },
    });
  }

  /** Append events to a stream. */
  happen(stream: string, ...events: HubEvent[]): Position {
    const held = this.streams.get(stream) ?? [];
    this.streams.set(stream, held);
    const from = held.length;
    held.push(...events);
    for (const follower of this.#followers) {
      if (follower.stream === stream) follower.handlers.items(items(held, Math.max(from, follower.from)));
    }
    return at(ZERO, held.length);
  }

  /** Make followers fail. */
  fail(stream: string, error: HubError): void {
    for (const follower of this.#followers) if (follower.stream === stream) follower.handlers.failed?.(error);
  }

  /** Lose what came after a position. */
  reset(stream: string, position: Position): void {
    this.streams.get(stream)?.splice(Number(position.slice(17)));
    for (const follower of this.#followers) if (follower.stream === stream) follower.handlers.reset?.(position, "lost");
  }

  lag(stream: string, records: number): void {
    for (const follower of this.#followers) if (follower.stream === stream) follower.handlers.lag?.(records);
  }

  async generate(ask: Ask): Promise<Generation> {
    this.asked.push(ask);
    await this.#pass();
    const known = this.#keys.get(ask.key ?? "");
    if (known) return known;
    this.#generations += 1;
    const begun = { generation: `g${this.#generations}`, stream: ask.stream ?? "one-off" };
    if (ask.key) this.#keys.set(ask.key, begun);
    if (ask.when_busy === "queue" && this.#answers(begun.stream)) {
      const { length } = this.queued;
      this.queued.push(begun.generation);
      this.happen(begun.stream, { type: "queued", ...begun, text: ask.prompt ?? "", place: length + 1 });
      return { ...begun, state: "queued" };
    }
    const where = this.#where(ask, begun.stream);
    const started = { type: "started", generation: begun.generation, upstream: ask.upstream ?? "demo" } as const;
    if (ask.prompt === undefined) this.happen(begun.stream, { ...started, ...where });
    else this.happen(begun.stream, { type: "message", role: "user", text: ask.prompt, ...where }, started);
    return begun;
  }

  /** What a generation follows, as the hub writes it. */
  #where({ after, branch }: Ask, stream: string): { after?: string | null } {
    if (branch === undefined) return after === undefined ? {} : { after };
    const { all } = items(this.streams.get(stream) ?? [], 0).reduce(fold, EMPTY);
    const end = newest(all, placeOf(all, branch) ?? -1);
    const last = all[end];
    return last && end < all.length - 1 ? { after: nameOf(last) } : {};
  }

  async requeue(generation: string, change: QueueChange): Promise<void> {
    this.changes.push([generation, change]);
    await this.#pass();
  }

  /** Whether a generation runs in a stream. */
  #answers(stream: string): boolean {
    const held = this.streams.get(stream) ?? [];
    const last = held.findLast(({ type }) => ["started", "finished", "failed", "cancelled", "interrupted"].includes(type));
    return last?.type === "started";
  }

  async cancel(generation: string): Promise<void> {
    this.cancelled.push(generation);
    await this.#pass();
    if (this.queued.includes(generation)) {
      for (const [stream, held] of this.streams) {
        if (held.some((event) => event.type === "queued" && event.generation === generation)) {
          this.happen(stream, { type: "dropped", generation });
        }
      }
      return;
    }
    for (const [stream, held] of this.streams) {
      if (held.some((event) => "generation" in event && event.generation === generation)) {
        this.happen(stream, { type: "cancelled", generation });
      }
    }
  }

  async append(stream: string, event: HubEvent | Record<string, unknown>): Promise<Position> {
    await this.#pass();
    return this.happen(stream, event as HubEvent);
  }

  async fork(stream: string, source: string, position?: Position): Promise<void> {
    await this.#pass();
    const held = this.streams.get(source);
    if (!held) throw new HubError("not_found", "there is no such stream", 404);
    const until = position === undefined ? held.length : Number(position.slice(17));
    if (!this.streams.has(stream)) this.streams.set(stream, held.slice(0, until));
  }

  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence {
    this.told.push({ stream, state });
    this.#companions.add(changed);
    changed(this.members);
    return {
      set: (now) => this.told.push({ stream, state: now }),
      leave: () => this.#companions.delete(changed),
    };
  }

  company(members: readonly Member[]): void {
    this.members = members;
    for (const changed of this.#companions) changed(members);
  }

  models(): Promise<readonly string[]> {
    return Promise.resolve(["demo"]);
  }

  close(): void {
    this.become({ state: "closed", code: "closed", message: "closed" });
  }

  async #pass(): Promise<void> {
    await this.gate;
    const refusal = this.refusals.shift();
    if (refusal) throw refusal;
  }
}

function items(events: readonly HubEvent[], from: number): Item[] {
  return events.slice(from).map((event, i) => ({ event, position: at(ZERO, from + i + 1) }));
}
