/**
 * Folds events into the state of a conversation. This is pure: each position has one state.
 *
 * An event changes at most the last reply of its generation; the rest is shared with the state
 * before. Messages and generations that have ended never change again. So a checkpoint, made before
 * each turn, only needs the number of turns and the replies that were running. Rewinding cuts the
 * turns there and restores those replies.
 */

import type { Branch, Delta, Failed, Finished, HubEvent, Item, Position, ToolPiece, Usage } from "../protocol/events.js";
import { at, offsetOf } from "../protocol/position.js";
import { NO_QUEUE, type Queue, queueAfter } from "./queue.js";
import { executedCalls, type Media, type Source, text as string, withMedia, withSources } from "./reply-extras.js";

export interface ToolCall {
  readonly index: number;
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
  /** Of a call that the provider made itself. */
  readonly output?: string;
  /** The output is an error. */
  readonly failed?: true;
}

interface Turn {
  /** The position of its first record. */
  readonly before: Position;
  /** The `id` of a message, or the `message` that a reply belongs to. */
  readonly name?: string;
  /** The index in `all` of the turn that it follows, if that is not the one before; -1 is the beginning. */
  readonly follows?: number;
}

/** A message of a person. */
export interface ChatMessage extends Turn {
  readonly kind: "message";
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly text: string;
  readonly author?: string;
  readonly at?: string;
}

export type GenerationState = "waiting" | "running" | "finished" | "failed" | "cancelled" | "interrupted";

/** A reply of a model, complete or so far. */
export interface AssistantMessage extends Turn {
  readonly kind: "reply";
  readonly generation: string;
  readonly upstream: string;
  readonly model?: string;
  readonly text: string;
  readonly reasoning: string;
  readonly tools: readonly ToolCall[];
  readonly refusal: boolean;
  readonly sources?: readonly Source[];
  readonly media?: readonly Media[];
  readonly state: GenerationState;
  /** Why it finished. */
  readonly reason?: string;
  /** The error, if it failed. */
  readonly error?: { readonly code: string; readonly message: string };
  /** The request is being retried; cleared by the next event. */
  readonly retrying?: { readonly message: string; readonly after: number } | undefined;
  readonly usage?: Usage;
  readonly seconds?: { readonly first?: number; readonly total: number };
  readonly startedAt?: string;
  readonly endedAt?: string;
}

/** Any event that ends a generation. */
type Ended = Partial<Omit<Finished, "type" | "reason"> & Omit<Failed, "type">> & {
  readonly type: "finished" | "failed" | "cancelled" | "interrupted";
  readonly reason?: string;
};

/** A state before a turn. */
interface Checkpoint extends Pick<State, "position" | "running" | "queue" | "past"> {
  readonly turns: number;
  readonly branches: number;
  /** The running replies. */
  readonly open: readonly AssistantMessage[];
}

export type Turns = readonly (ChatMessage | AssistantMessage)[];

export interface State {
  /** The turns of the branch that the stream is on, which an upstream is sent. */
  readonly turns: Turns;
  /** The turns of all branches, in the order in which they began. */
  readonly all: Turns;
  /** The position to read next; "" before the first record. */
  readonly position: Position;
  /** The running generations, oldest first. */
  readonly running: readonly string[];
  readonly branches: readonly Branch[];
  /** The prompts that wait for their turn. */
  readonly queue: Queue;
  readonly closed: boolean;
  /** The name of the stream, if it is known: the queue of another one is not its own. */
  readonly stream?: string | undefined;
  /** Only for `rewind`. */
  readonly past?: Checkpoint | undefined;
}

/** A checkpoint is kept where no more replies than these run. */
const RUNNING_KEPT = 16;

/** So many turns at the end are looked at before an index of all is made. */
const NEAR = 100;

const NONE: Turns = [];
export const EMPTY: State = { turns: NONE, all: NONE, position: "", running: [], branches: [], queue: NO_QUEUE, closed: false };

/** The state after one more item; an item that was folded before changes nothing. */
export function fold(state: State, item: Item): State {
  return foldAll(state, [item]);
}

/** The state after more items, which costs no more for each of them the longer a conversation is. */
export function foldAll(state: State, items: readonly Item[]): State {
  const folding = new Folding(state);
  for (const item of items) folding.take(item);
  return folding.state();
}

/** The turns that lead to one of `all`, by default to the last one. */
export function branch(all: Turns, place = all.length - 1): Turns {
  const found = [];
  for (let turn = all[place]; turn; turn = all[place]) {
    found.push(turn);
    place = turn.follows ?? place - 1;
  }
  return found.length === all.length ? all : found.reverse();
}

/** The index in `all` of what a name or a position means: -1 is the beginning. */
export function placeOf(all: Turns, name: unknown, find = lastNamed): number | undefined {
  if (typeof name !== "string") return name === null ? -1 : undefined;
  if (/^\d{16}_\d{16}$/.test(name)) return lastBefore(all, offsetOf(name));
  const found = find(all, name);
  return found >= 0 ? found : undefined;
}

function lastNamed(all: Turns, name: string): number {
  return all.findLastIndex((turn) => isNamed(turn, name));
}

function isNamed(turn: ChatMessage | AssistantMessage, name: string): boolean {
  return turn.name === name || (turn as AssistantMessage).generation === name;
}

/** The index of the last turn that begins before an offset, or -1. */
function lastBefore(all: Turns, offset: number): number {
  let [from, to] = [0, all.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const turn = all[middle];
    if (turn && offsetOf(turn.before) < offset) from = middle + 1;
    else to = middle;
  }
  return from - 1;
}

/** The latest earlier state at or before a position; continue reading at its own `position`. */
export function rewind(state: State, position: Position): State {
  const offset = offsetOf(position);
  if (offsetOf(state.position) <= offset) return state;
  let past = state.past;
  while (past && offsetOf(past.position) > offset) past = past.past;
  if (!past) return { ...EMPTY, stream: state.stream };
  const { turns, open, branches: marks, ...rest } = past;
  const all = state.all.slice(0, turns);
  const places = new Places();
  for (const reply of open) all[places.reply(all, reply.generation)] = reply;
  const branches = state.branches.slice(0, marks);
  return { ...state, ...rest, all, turns: branch(all), branches, closed: false };
}

/** A state while items are folded into it: what they change is copied once for all of them. */
class Folding {
  readonly #before: State;
  #position: Position;
  #all: Turns;
  #branches: readonly Branch[];
  #queue: Queue;
  #past: Checkpoint | undefined;
  readonly #running: Set<string>;
  /** The stream is on the branch of all turns. */
  #isLinear: boolean;
  readonly #places: Places;

  constructor(state: State) {
    this.#before = state;
    this.#position = state.position;
    this.#all = state.all;
    this.#branches = state.branches;
    this.#queue = state.queue;
    this.#past = state.past;
    this.#running = new Set(state.running);
    this.#isLinear = state.turns === state.all;
    this.#places = PLACES.get(state.all) ?? new Places();
    // It goes with the turns to the next state.
    PLACES.delete(state.all);
  }

  take({ event, position }: Item): void {
    if (position <= this.#position) return;
    // A stream may contain any JSON; fields of an unexpected type are ignored.
    const data = Object(event) as Partial<HubEvent>;
    this.#change(data, position);
    this.#queue = queueAfter(this.#queue, data, this.#before.stream);
    this.#position = position;
  }

  state(): State {
    const before = this.#before;
    PLACES.set(this.#all, this.#places);
    if (this.#position === before.position) return before;
    const all = this.#all;
    const isChanged = all !== before.all;
    return {
      ...before,
      all,
      // Without branches, as nearly always, nothing needs to be walked through.
      turns: !isChanged ? before.turns : this.#isLinear ? all : branch(all),
      running: isChanged ? [...this.#running] : before.running,
      branches: this.#branches,
      queue: this.#queue,
      past: this.#past,
      position: this.#position,
    };
  }

  #change(data: Partial<HubEvent>, position: Position): void {
    switch (data.type) {
      case "message": {
        const { role, text, author, at: when, id: name } = data;
        if (typeof role !== "string") return;
        const about = onlyStrings({ author, at: when, name });
        this.#begin({ kind: "message", role, text: string(text), ...about, before: first(position) }, data.after);
        return;
      }
      case "started": {
        const { generation, upstream, model, at: startedAt, message: name } = data;
        if (this.#find(generation) >= 0) return;
        const about = onlyStrings({ upstream, model, startedAt, name });
        this.#begin({ ...empty(position, generation), ...about, state: "waiting" }, data.after);
        return;
      }
      case "delta":
        this.#reply(data.generation, position, (reply) => added(reply, data));
        return;
      case "retrying": {
        const { message, after } = data;
        const retrying = { message: string(message), after: Number(after) || 0 };
        const generation = data.generation ?? [...this.#running].at(-1);
        if (generation !== undefined) this.#reply(generation, position, (reply) => ({ ...reply, retrying }));
        return;
      }
      case "finished":
      case "failed":
      case "cancelled":
      case "interrupted":
        this.#reply(data.generation, position, (reply) => ended(reply, data as Ended));
        return;
      case "branch": {
        const { type, from, to } = data;
        this.#checkpoint();
        const branches = own(this.#branches, this.#before.branches);
        branches.push({ type, ...onlyStrings({ from, to }), position: string(data.position) });
        this.#branches = branches;
      }
    }
  }

  #begin(turn: ChatMessage | AssistantMessage, after?: unknown): void {
    const follows = placeOf(this.#all, after, (all, name) => this.#places.named(all, name));
    this.#checkpoint();
    const all = own(this.#all, this.#before.all);
    all.push(follows === undefined ? turn : { ...turn, follows });
    this.#all = all;
    this.#isLinear &&= follows === undefined;
    this.#places.push(all);
    if (isOpen(turn)) this.#running.add(turn.generation);
  }

  /** Change the reply of a running generation; if its start is missing, it starts here. */
  #reply(generation: string | undefined, position: Position, change: (reply: AssistantMessage) => AssistantMessage): void {
    const place = this.#find(generation);
    if (place < 0) {
      this.#begin(change(empty(position, generation)));
      return;
    }
    const reply = this.#all[place] as AssistantMessage;
    if (!isOpen(reply)) return;
    const next = change(reply);
    const all = own(this.#all, this.#before.all);
    all[place] = next;
    this.#all = all;
    if (!isOpen(next)) this.#running.delete(reply.generation);
  }

  #checkpoint(): void {
    // Each holds all replies that run. Without one, whoever rewinds goes on from an earlier one.
    if (this.#running.size > RUNNING_KEPT) return;
    const running = [...this.#running];
    this.#past = {
      position: this.#position,
      turns: this.#all.length,
      running,
      open: running.map((generation) => this.#all[this.#find(generation)] as AssistantMessage),
      branches: this.#branches.length,
      queue: this.#queue,
      past: this.#past,
    };
  }

  #find(generation: string | undefined): number {
    return this.#places.reply(this.#all, string(generation));
  }
}

/** A copy of `items` as long as they are those of the state before, which must not change. */
function own<T>(items: readonly T[], before: readonly T[]): T[] {
  return items === before ? [...items] : (items as T[]);
}

/** Where the turns of the last state are. */
const PLACES = new WeakMap<Turns, Places>();

/** Where turns are: nearly always close to the end, else in an index that is made at the first need. */
class Places {
  #index: { readonly replies: Map<string, number>; readonly names: Map<string, number> } | undefined;

  /** The index of a generation's reply, or -1. */
  reply(all: Turns, generation: string): number {
    return this.#last(all, (turn) => turn.kind === "reply" && turn.generation === generation, "replies", generation);
  }

  /** As `lastNamed`. */
  named(all: Turns, name: string): number {
    return this.#last(all, (turn) => isNamed(turn, name), "names", name);
  }

  /** Note the last one of `all`, which is new. */
  push(all: Turns): void {
    if (this.#index) this.#note(all, all.length - 1);
  }

  #last(all: Turns, wanted: (turn: ChatMessage | AssistantMessage) => boolean, index: "replies" | "names", name: string): number {
    if (!this.#index) {
      const near = all.slice(-NEAR);
      const found = near.findLastIndex(wanted);
      if (found >= 0 || near.length === all.length) return found < 0 ? -1 : all.length - near.length + found;
      this.#index = { replies: new Map(), names: new Map() };
      for (let place = 0; place < all.length; place += 1) this.#note(all, place);
    }
    return this.#index[index].get(name) ?? -1;
  }

  #note(all: Turns, place: number): void {
    const turn = all[place];
    if (!turn || !this.#index) return;
    const { replies, names } = this.#index;
    if (turn.name !== undefined) names.set(turn.name, place);
    if (turn.kind === "message") return;
    replies.set(turn.generation, place);
    names.set(turn.generation, place);
  }
}

function ended(reply: AssistantMessage, { type, usage, seconds, at: endedAt, reason, code, message }: Ended): AssistantMessage {
  return {
    ...reply,
    retrying: undefined,
    ...onlyStrings({ reason, endedAt }),
    ...(type === "failed" && { error: { code: string(code), message: string(message) } }),
    ...(usage && { usage: onlyNumbers(usage) }),
    ...(typeof seconds?.total === "number" && { seconds: onlyNumbers(seconds) }),
    state: type,
  };
}

function added(reply: AssistantMessage, delta: Partial<Delta>): AssistantMessage {
  const { text, reasoning, tool, refusal, annotations, executed_tools: executed, media } = delta;
  const tools = executed ? [...reply.tools, ...executedCalls(executed)] : reply.tools;
  return {
    ...reply,
    retrying: undefined,
    state: "running",
    text: reply.text + string(text),
    reasoning: reply.reasoning + string(reasoning),
    tools: tool ? withPiece(tools, tool) : tools,
    refusal: reply.refusal || refusal === true,
    ...(annotations && { sources: withSources(reply.sources ?? [], annotations) }),
    ...(media && { media: withMedia(reply.media ?? [], media) }),
  };
}

/** The calls with one more piece; a piece with another id starts a new call. */
function withPiece(tools: readonly ToolCall[], { index, id, name, arguments: more }: ToolPiece): readonly ToolCall[] {
  const place = tools.findLastIndex((call) => call.index === index);
  const call = tools[place];
  const isNamed = call && (call.id || call.arguments);
  if (!call || (isNamed && id !== undefined && id !== call.id))
    return [...tools, { index, id: string(id), name: string(name), arguments: string(more) }];
  return tools.with(place, {
    index,
    id: call.id || string(id),
    name: call.name + string(name),
    arguments: call.arguments + string(more),
  });
}

function empty(position: Position, generation: string | undefined): AssistantMessage {
  const about = { before: first(position), generation: string(generation) };
  return { kind: "reply", ...about, upstream: "", text: "", reasoning: "", tools: [], refusal: false, state: "running" };
}

/** It is waiting or running. */
function isOpen(turn: ChatMessage | AssistantMessage): turn is AssistantMessage {
  return (turn as Partial<AssistantMessage>).state?.endsWith("ing") === true;
}

/** The position of the last record of an item; `position` is the one after the item. */
function first(position: Position): Position {
  return at(position, offsetOf(position) - 1);
}

/** Only the fields that are strings. */
function onlyStrings<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return only(fields, (value) => typeof value === "string");
}

/** Only the fields that are numbers or booleans. */
function onlyNumbers<T extends object>(fields: T): T {
  return only(fields, (value) => typeof value === "number" || value === true);
}

function only<T extends object>(fields: T, wanted: (value: unknown) => boolean): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => wanted(value))) as T;
}
