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
interface Checkpoint extends Pick<State, "position" | "running" | "queue" | "branches" | "past"> {
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

const NONE: Turns = [];
export const EMPTY: State = { turns: NONE, all: NONE, position: "", running: [], branches: [], queue: NO_QUEUE, closed: false };

/** The state after one more item; an item that was folded before changes nothing. */
export function fold(state: State, item: Item): State {
  const { event, position } = item;
  if (position <= state.position) return state;
  // A stream may contain any JSON; fields of an unexpected type are ignored.
  const data = Object(event) as Partial<HubEvent>;
  const { all, queue, stream } = state;
  return derived({ ...state, ...changes(state, data, position), queue: queueAfter(queue, data, stream), position }, all);
}

/** The state after turns have changed; `before` has those of all branches before. */
function derived(state: State, before?: Turns): State {
  const { all, turns } = state;
  // Without branches, as nearly always, nothing needs to be walked through.
  return { ...state, turns: turns === before && all.at(-1)?.follows === undefined ? all : branch(all) };
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
export function placeOf(all: Turns, name: unknown): number | undefined {
  if (typeof name !== "string") return name === null ? -1 : undefined;
  const isPosition = /^\d{16}_\d{16}$/.test(name);
  const found = all.findLastIndex((turn) =>
    isPosition ? offsetOf(turn.before) < offsetOf(name) : turn.name === name || (turn as AssistantMessage).generation === name,
  );
  return isPosition || found >= 0 ? found : undefined;
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
  for (const reply of open) all[find(all, reply.generation)] = reply;
  return derived({ ...state, ...rest, all, closed: false });
}

function changes(state: State, data: Partial<HubEvent>, position: Position): Partial<State> {
  switch (data.type) {
    case "message": {
      const { role, text, author, at: when, id: name } = data;
      if (typeof role !== "string") return {};
      const about = onlyStrings({ author, at: when, name });
      return begun(state, { kind: "message", role, text: string(text), ...about, before: first(position) }, data.after);
    }
    case "started": {
      const { generation, upstream, model, at: startedAt, message: name } = data;
      if (find(state.all, generation) >= 0) return {};
      const about = onlyStrings({ upstream, model, startedAt, name });
      return begun(state, { ...empty(position, generation), ...about, state: "waiting" }, data.after);
    }
    case "delta":
      return withReply(state, data.generation, position, (reply) => added(reply, data));
    case "retrying": {
      const { message, after } = data;
      const retrying = { message: string(message), after: Number(after) || 0 };
      const generation = data.generation ?? state.running.at(-1);
      return generation === undefined ? {} : withReply(state, generation, position, (reply) => ({ ...reply, retrying }));
    }
    case "finished":
    case "failed":
    case "cancelled":
    case "interrupted": {
      const { type, usage, seconds, at: endedAt, reason, code, message } = data as Ended;
      return withReply(state, data.generation, position, (reply) => ({
        ...reply,
        retrying: undefined,
        ...onlyStrings({ reason, endedAt }),
        ...(type === "failed" && { error: { code: string(code), message: string(message) } }),
        ...(usage && { usage: onlyNumbers(usage) }),
        ...(typeof seconds?.total === "number" && { seconds: onlyNumbers(seconds) }),
        state: type,
      }));
    }
    case "branch": {
      const { type, from, to } = data;
      const branch: Branch = { type, ...onlyStrings({ from, to }), position: string(data.position) };
      return { branches: [...state.branches, branch], past: checkpoint(state) };
    }
    default:
      return {};
  }
}

/** Change the reply of a running generation; if its start is missing, it starts here. */
function withReply(
  state: State,
  generation: string | undefined,
  position: Position,
  change: (reply: AssistantMessage) => AssistantMessage,
): Partial<State> {
  const { all } = state;
  const place = find(all, generation);
  if (place < 0) return begun(state, change(empty(position, generation)));
  const reply = all[place] as AssistantMessage;
  if (!isOpen(reply)) return {};
  const next = change(reply);
  return { all: all.with(place, next), running: state.running.filter((one) => one !== generation || isOpen(next)) };
}

function begun(state: State, turn: ChatMessage | AssistantMessage, after?: unknown): Partial<State> {
  const { all, running } = state;
  const follows = placeOf(all, after);
  return {
    all: [...all, follows === undefined ? turn : { ...turn, follows }],
    running: isOpen(turn) ? [...running, turn.generation] : running,
    past: checkpoint(state),
  };
}

function checkpoint({ position, running, queue, branches, past, all }: State): Checkpoint {
  return { position, running, queue, branches, past, turns: all.length, open: all.filter(isOpen) };
}

/** The index of a generation's reply, searched from the end, where running ones nearly always are. */
function find(all: Turns, generation: string | undefined): number {
  const wanted = string(generation);
  return all.findLastIndex((turn) => turn.kind === "reply" && turn.generation === wanted);
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
