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
interface Checkpoint extends Pick<State, "position" | "queue" | "branches" | "past"> {
  readonly turns: number;
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

const BRANCHES = 1000;

const NONE: Turns = [];
export const EMPTY: State = { turns: NONE, all: NONE, position: "", running: [], branches: [], queue: NO_QUEUE, closed: false };

/** The state after one more item; an item that was folded before changes nothing. */
export function fold(state: State, item: Item): State {
  return foldAll(state, [item]);
}

/** The state after more items, which costs no more for each of them the longer a conversation is. */
export function foldAll(before: State, items: readonly Item[]): State {
  let { branches, queue, past, position: here } = before;
  const all = [...before.all];
  const running = new Set(before.running);
  const places = PLACES.get(before.all) ?? placesOf(all);
  // They go with the turns to the next state.
  PLACES.delete(before.all);

  for (const { event, position } of items) {
    if (position <= here) continue;
    // A stream may contain any JSON; fields of an unexpected type are ignored.
    const data = Object(event) as Partial<HubEvent>;
    change(data, position);
    queue = queueAfter(queue, data, before.stream);
    here = position;
  }

  if (here === before.position) return before;
  PLACES.set(all, places);
  return { ...before, turns: branch(all), all, running: [...running], branches, queue, past, position: here };

  function change(data: Partial<HubEvent>, position: Position): void {
    switch (data.type) {
      case "message":
        if (typeof data.role === "string") {
          const about = onlyStrings({ author: data.author, at: data.at, name: data.id });
          begin({ kind: "message", role: data.role, text: string(data.text), ...about, before: first(position) }, data.after);
        }
        return;
      case "started":
        if (find(data.generation) < 0) {
          const about = onlyStrings({ upstream: data.upstream, model: data.model, startedAt: data.at, name: data.message });
          begin({ ...empty(position, data.generation), ...about, state: "waiting" }, data.after);
        }
        return;
      case "delta":
        withReply(data.generation, position, (reply) => added(reply, data));
        return;
      case "retrying": {
        const retrying = { message: string(data.message), after: Number(data.after) || 0 };
        withReply(data.generation, position, (reply) => ({ ...reply, retrying }));
        return;
      }
      case "finished":
      case "failed":
      case "cancelled":
      case "interrupted":
        withReply(data.generation, position, (reply) => ended(reply, data as Ended));
        return;
      case "branch":
        keep();
        // Nobody has so many versions; whoever writes events themselves could have more.
        if (branches.length < BRANCHES) branches = [...branches, { type: "branch", ...onlyStrings({ from: data.from, to: data.to }), position: string(data.position) }];
    }
  }

  function begin(turn: ChatMessage | AssistantMessage, after?: unknown): void {
    const follows = placeOf(all, after, places);
    keep();
    note(places, turn, all.length);
    all.push(follows === undefined ? turn : { ...turn, follows });
    if (isOpen(turn)) running.add(turn.generation);
  }

  /** Change the reply of a running generation; if its start is missing, it starts here. */
  function withReply(generation: string | undefined, position: Position, changed: (reply: AssistantMessage) => AssistantMessage): void {
    const place = find(generation);
    const reply = all[place] as AssistantMessage | undefined;
    if (!reply) begin(changed(empty(position, generation)));
    else if (isOpen(reply)) {
      const next = changed(reply);
      all[place] = next;
      if (!isOpen(next)) running.delete(reply.generation);
    }
  }

  /** Make a checkpoint. */
  function keep(): void {
    // Each holds all replies that run. Without one, whoever rewinds goes on from an earlier one.
    if (running.size > RUNNING_KEPT) return;
    const open = [...running].map((generation) => all[find(generation)] as AssistantMessage);
    past = { position: here, turns: all.length, open, branches, queue, past };
  }

  function find(generation: string | undefined): number {
    return places.get(string(generation)) ?? -1;
  }
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
export function placeOf(all: Turns, name: unknown, places = placesOf(all)): number | undefined {
  if (typeof name !== "string") return name === null ? -1 : undefined;
  return /^\d{16}_\d{16}$/.test(name) ? lastBefore(all, offsetOf(name)) : places.get(NAME + name);
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
  const { turns, open, ...rest } = past;
  const all = state.all.slice(0, turns);
  const places = placesOf(all);
  for (const reply of open) all[places.get(reply.generation) ?? -1] = reply;
  return { ...state, ...rest, all, turns: branch(all), running: open.map(({ generation }) => generation), closed: false };
}

/** Where turns are in `all`: replies by their generation, and after `NAME` whatever has that name. */
type Places = Map<string, number>;

const NAME = " ";

/** The places of turns, for the last state of each conversation. */
const PLACES = new WeakMap<Turns, Places>();

function placesOf(all: Turns): Places {
  const places: Places = new Map();
  all.forEach((turn, place) => { note(places, turn, place); });
  return places;
}

function note(places: Places, turn: ChatMessage | AssistantMessage, place: number): void {
  const { name, generation } = turn as AssistantMessage;
  if (name !== undefined) places.set(NAME + name, place);
  if (turn.kind === "reply") places.set(generation, place).set(NAME + generation, place);
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
