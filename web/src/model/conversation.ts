/**
 * Folds events into the state of a conversation. This is pure: each position has one state.
 *
 * An event changes at most the last reply of its generation; the rest is shared with the state
 * before. Messages and generations that have ended never change again. So a checkpoint, made before
 * each turn, only needs the number of turns and the replies that were running. Rewinding cuts the
 * turns there and restores those replies.
 */

import type { Branch, Delta, HubEvent, Item, Position, ToolPiece, Usage } from "../protocol/events.js";
import { at, offsetOf } from "../protocol/position.js";
import { executedCalls, type Media, type Source, withMedia, withSources } from "./reply-extras.js";

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
  /** The position of its first record, at which to fork for another version. */
  readonly before: Position;
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
  readonly retrying?: { readonly message: string; readonly after: number };
  readonly usage?: Usage;
  readonly seconds?: { readonly first?: number; readonly total: number };
  readonly startedAt?: string;
  readonly endedAt?: string;
}

/** A state before a turn. */
interface Checkpoint {
  readonly position: Position;
  readonly turns: number;
  readonly branches: number;
  readonly running: readonly string[];
  /** The running replies with their indices. */
  readonly open: readonly (readonly [number, AssistantMessage])[];
  readonly earlier?: Checkpoint | undefined;
}

export interface State {
  readonly turns: readonly (ChatMessage | AssistantMessage)[];
  /** The position to read next; "" before the first record. */
  readonly position: Position;
  /** The running generations, oldest first. */
  readonly running: readonly string[];
  readonly branches: readonly Branch[];
  readonly closed: boolean;
  /** Only for `rewind`. */
  readonly past?: Checkpoint;
}

export const EMPTY: State = { turns: [], position: "", running: [], branches: [], closed: false };

/** The state after one more item; an item that was folded before changes nothing. */
export function fold(state: State, item: Item): State {
  if (item.position <= state.position) return state;
  return { ...state, ...changes(state, item), position: item.position };
}

/** The latest earlier state at or before a position; continue reading at its own `position`. */
export function rewind(state: State, position: Position): State {
  const offset = offsetOf(position);
  if (offsetOf(state.position) <= offset) return state;
  let past = state.past;
  while (past && offsetOf(past.position) > offset) past = past.earlier;
  if (!past) return EMPTY;
  const turns = state.turns.slice(0, past.turns);
  for (const [place, reply] of past.open) turns[place] = reply;
  return {
    turns,
    position: past.position,
    running: past.running,
    branches: state.branches.slice(0, past.branches),
    closed: false,
    ...(past.earlier && { past: past.earlier }),
  };
}

function changes(state: State, { event, position }: Item): Partial<State> {
  // A stream may contain any JSON; fields of an unexpected type are ignored.
  const data = (typeof event === "object" ? event : null) as Partial<HubEvent> | null;
  switch (data?.type) {
    case "message": {
      const { role, text, author, at: when } = data;
      if (typeof role !== "string") return {};
      const turn = { kind: "message", role, text: string(text), ...onlyStrings({ author, at: when }) } as const;
      return begun(state, { ...turn, before: first(position) });
    }
    case "started": {
      const { generation, upstream, model, at: startedAt } = data;
      if (find(state, generation) >= 0) return {};
      const reply = empty(position, string(generation));
      const about = onlyStrings({ upstream, model, startedAt });
      return began(state, { ...reply, ...about, state: "waiting" });
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
      const { type, usage, seconds, at: endedAt } = data;
      const { reason, code, message } = data as { reason?: string; code?: string; message?: string };
      const error = type === "failed" ? { code: string(code), message: string(message) } : undefined;
      return withReply(state, data.generation, position, (reply) => ({
        ...afterRetry(reply),
        ...onlyStrings({ reason, endedAt }),
        ...(error && { error }),
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
  const place = find(state, generation);
  if (place < 0) return began(state, change(empty(position, string(generation))));
  const before = state.turns[place] as AssistantMessage;
  if (!open(before)) return {};
  const reply = change(before);
  const turns = state.turns.with(place, reply);
  return open(reply) ? { turns } : { turns, running: state.running.filter((one) => one !== reply.generation) };
}

function began(state: State, reply: AssistantMessage): Partial<State> {
  const running = open(reply) ? [...state.running, reply.generation] : state.running;
  return { ...begun(state, reply), running };
}

function begun(state: State, turn: ChatMessage | AssistantMessage): Partial<State> {
  return { turns: [...state.turns, turn], past: checkpoint(state) };
}

function checkpoint(state: State): Checkpoint {
  return {
    position: state.position,
    turns: state.turns.length,
    branches: state.branches.length,
    running: state.running,
    open: state.running.map((generation) => {
      const place = find(state, generation);
      return [place, state.turns[place] as AssistantMessage] as const;
    }),
    earlier: state.past,
  };
}

/** The index of a generation's reply, searched from the end, where running ones nearly always are. */
function find(state: State, generation: string | undefined): number {
  const wanted = string(generation);
  return state.turns.findLastIndex((turn) => turn.kind === "reply" && turn.generation === wanted);
}

function added(reply: AssistantMessage, delta: Partial<Delta>): AssistantMessage {
  const { text, reasoning, tool, refusal, annotations, executed_tools: executed, media } = delta;
  const tools = executed ? [...reply.tools, ...executedCalls(executed)] : reply.tools;
  return {
    ...afterRetry(reply),
    state: "running",
    text: reply.text + string(text),
    reasoning: reply.reasoning + string(reasoning),
    tools: tool ? withPiece(tools, tool) : tools,
    refusal: reply.refusal || refusal === true,
    ...(annotations && { sources: withSources(reply.sources ?? [], annotations) }),
    ...(media && { media: withMedia(reply.media ?? [], media) }),
  };
}

/** The reply after a retry has led to something. */
function afterRetry(reply: AssistantMessage): AssistantMessage {
  if (!reply.retrying) return reply;
  const other: { -readonly [K in keyof AssistantMessage]: AssistantMessage[K] } = { ...reply };
  delete other.retrying;
  return other;
}

/** The calls with one more piece; a piece with another id starts a new call. */
function withPiece(tools: readonly ToolCall[], { index, id, name, arguments: more }: ToolPiece): readonly ToolCall[] {
  const place = tools.findLastIndex((call) => call.index === index);
  const call = tools[place];
  const named = call !== undefined && (call.id !== "" || call.arguments !== "");
  if (!call || (named && id !== undefined && id !== call.id))
    return [...tools, { index, id: string(id), name: string(name), arguments: string(more) }];
  return tools.with(place, {
    index,
    id: call.id || string(id),
    name: call.name + string(name),
    arguments: call.arguments + string(more),
  });
}

function empty(position: Position, generation: string): AssistantMessage {
  const nothing = { upstream: "", text: "", reasoning: "", tools: [], refusal: false } as const;
  return { kind: "reply", before: first(position), generation, ...nothing, state: "running" };
}

function open(reply: AssistantMessage): boolean {
  return reply.state === "waiting" || reply.state === "running";
}

/** The position of the last record of an item; `position` is the one after the item. */
function first(position: Position): Position {
  return at(position, offsetOf(position) - 1);
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
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
