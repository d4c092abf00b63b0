/**
 * A hub without a network: streams with epochs, `hub.v1` over fake WebSockets and over a fake
 * `fetch`, and faults on demand. It runs on vitest's fake clock.
 */

import { vi } from "vitest";

import type { HubEvent, Item, Position } from "../../src/protocol/events.js";
import { at, offsetOf } from "../../src/protocol/position.js";
import { Chance } from "./random.js";
import { merged } from "./story.js";

export const URL_OF_HUB = "http://hub.test/";

export class FakeStream {
  readonly records: { event: HubEvent; epoch: number }[] = [];
  readonly epochs: [number, number][] = [[0, 0]];
  head = 0;
  closed = false;
  /** Callbacks for changes. */
  readonly wakes = new Set<() => void>();

  get epoch(): number {
    return this.epochs.at(-1)?.[0] ?? 0;
  }

  append(...events: HubEvent[]): void {
    for (const event of events) this.records.push({ event, epoch: this.epoch });
    this.wake();
  }

  /** The process crashes and loses the last records; a new life begins. */
  crash(lost: number): void {
    // Records from before the current life had been stored.
    this.records.length = Math.max(this.head, this.epochs.at(-1)?.[1] ?? 0, this.records.length - lost);
    this.epochs.push([this.epoch + 1, this.records.length]);
  }

  close(): void {
    this.closed = true;
    this.wake();
  }

  wake(): void {
    for (const wake of [...this.wakes]) wake();
  }

  place(offset: number): Position {
    const epoch = this.epochs.findLast(([, first]) => first <= offset)?.[0] ?? 0;
    return at(`${String(epoch).padStart(16, "0")}_`, offset);
  }

  /** Where a reader starts, and the reset that it gets first. */
  begin(from: string): { offset: number; reset?: string } {
    if (from === "start") return { offset: this.head };
    if (from === "now") return { offset: this.records.length };
    const epoch = Number(from.slice(0, 16));
    const offset = offsetOf(from);
    if (from > this.place(this.records.length)) return { offset: this.head, reset: "unwritten" };
    const lost = this.epochs.find(([later]) => later > epoch)?.[1];
    if (lost !== undefined && offset > lost) return { offset: Math.max(lost, this.head), reset: "unwritten" };
    return offset < this.head ? { offset: this.head, reset: "trimmed" } : { offset };
  }

  /** Records from an offset on, all of one epoch, at most `count`. */
  read(offset: number, count: number): Item[] {
    const epoch = this.place(offset).slice(0, 17);
    const end = this.epochs.find(([, first]) => first > offset)?.[1] ?? this.records.length;
    return this.records
      .slice(offset, Math.min(end, offset + count))
      .map(({ event }, i) => ({ event, position: at(epoch, offset + i + 1) }));
  }

  /** All records, as items. */
  items(): Item[] {
    return this.records.slice(this.head).map(({ event }, i) => ({ event, position: at(this.place(this.head + i), this.head + i + 1) }));
  }
}

export class FakeServer {
  readonly chance: Chance;
  readonly streams = new Map<string, FakeStream>();
  readonly sockets = new Set<FakeSocket>();
  readonly bodies = new Set<FakeBody>();
  /** All sockets that were ever opened. */
  opened = 0;
  reads = 0;
  /** Whether sockets open; "deaf" ones do, but nothing gets through. */
  websockets: "open" | "refused" | "deaf" = "open";
  http = true;
  /** How long requests take, in milliseconds. */
  slow = 1;
  /** Some frames arrive twice. */
  doubles = false;
  beats = true;
  /** The error code with which subscriptions are refused. */
  refusal: string | undefined;
  /** The tokens that hold, each with its end in milliseconds since 1970; by default none is needed. */
  tokens: Map<string, number> | undefined;
  /** All tokens that were presented, over any transport. */
  readonly presented: string[] = [];

  constructor(seed = 1) {
    this.chance = new Chance(seed);
    const made = (url: string, protocol: string): FakeSocket => new FakeSocket(this, url, protocol);
    const socket = function (url: string, protocol: string): FakeSocket {
      return made(url, protocol);
    };
    vi.stubGlobal("WebSocket", Object.assign(socket, { OPEN }));
    vi.stubGlobal("fetch", (url: string, init: RequestInit = {}) => this.#fetch(url, init));
  }

  stream(name: string): FakeStream {
    let stream = this.streams.get(name);
    if (!stream) this.streams.set(name, (stream = new FakeStream()));
    return stream;
  }

  /** The error for a token, if it does not hold; it is noted. */
  judge(token: string | undefined): { code: string; message: string } | undefined {
    if (token !== undefined) this.presented.push(token);
    if (!this.tokens) return undefined;
    if (token === undefined) return { code: "unauthorized", message: "this needs a credential" };
    const end = this.tokens.get(token);
    if (end === undefined) return { code: "invalid_token", message: "this token is not valid" };
    return end <= Date.now() ? { code: "token_expired", message: "this token has expired" } : undefined;
  }

  /** Milliseconds that a token still lasts; `undefined` if it has no end. */
  left(token: string | undefined): number | undefined {
    const end = this.tokens?.get(token ?? "");
    return end === undefined || end === Infinity ? undefined : Math.max(0, end - Date.now());
  }

  revoke(token: string): void {
    this.tokens?.delete(token);
    for (const socket of [...this.sockets]) if (socket.token === token) socket.drop(4502, "revoked");
    for (const body of [...this.bodies]) if (body.token === token) body.end();
  }

  /** Break every connection. */
  cut(): void {
    for (const socket of [...this.sockets]) socket.drop(1006);
    for (const body of [...this.bodies]) body.cut();
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    await new Promise((resolve) => setTimeout(resolve, this.slow));
    init.signal?.throwIfAborted();
    if (!this.http) throw new TypeError("fetch failed");
    const { pathname } = new URL(url);
    const token = new Headers(init.headers).get("Authorization")?.slice("Bearer ".length);
    const error = this.judge(token);
    if (error) return Response.json({ error }, { status: 401 });
    if (pathname === "/v1/models") return Response.json({ data: [{ id: "demo" }] });
    if (pathname !== "/v1/follow") return new Response(null, { status: 404 });
    this.reads++;
    const asked = JSON.parse(init.body as string) as { stream: string; from: string }[];
    const body = new FakeBody(this, asked, init.signal ?? undefined, token);
    return body.response;
  }
}

/** A subscription: it catches up with merged deltas and then sends new records. */
class Reader {
  offset: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #wake = (): void => {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#go();
    }, 1);
  };

  constructor(
    readonly hub: FakeServer,
    readonly stream: FakeStream,
    from: string,
    readonly told: {
      items: (items: Item[]) => void;
      reset: (position: Position, reason: string) => void;
      closed: (position: Position) => void;
    },
  ) {
    const { offset, reset } = stream.begin(from);
    this.offset = offset;
    stream.wakes.add(this.#wake);
    if (reset) setTimeout(() => { if (stream.wakes.has(this.#wake)) told.reset(stream.place(offset), reset); }, 0);
    this.#wake();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.stream.wakes.delete(this.#wake);
  }

  #go(): void {
    const { stream, hub } = this;
    const tail = stream.records.length;
    if (this.offset < stream.head) {
      this.offset = stream.head;
      this.told.reset(stream.place(this.offset), "trimmed");
    }
    if (this.offset < tail) {
      const found = stream.read(this.offset, 1 + hub.chance.below(40));
      this.offset += found.length;
      this.told.items(found.length > 3 ? merged(found) : found);
    }
    if (this.offset < stream.records.length) this.#wake();
    else if (stream.closed) {
      this.stop();
      this.told.closed(stream.place(this.offset));
    }
  }
}

/** Follow a stream: tell where it begins, and then what it holds, in messages of `hub.v1`. */
function subscribed(
  hub: FakeServer,
  stream: string,
  from: string,
  tell: (message: Record<string, unknown>) => void,
  named: Record<string, unknown> = {},
): Reader {
  const known = hub.streams.get(stream);
  const position = known?.place(known.begin(from).offset) ?? null;
  tell({ type: "ok", ...named, stream, position, tail: known?.place(known.records.length) ?? null });
  return new Reader(hub, hub.stream(stream), known ? from : "start", {
    items: (items) => {
      const last = items.at(-1)?.position ?? "";
      const offsets = items.map(({ position }) => offsetOf(position));
      const rowed = offsets.every((offset, i) => offset === offsetOf(last) + 1 - items.length + i);
      tell({ type: "events", stream, position: last, events: items.map(({ event }) => event), ...(!rowed && { offsets }) });
    },
    reset: (position, reason) => { tell({ type: "reset", stream, position, reason }); },
    closed: (position) => { tell({ type: "closed", stream, position }); },
  });
}

const OPEN = 1;

export class FakeSocket {
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  readonly readers = new Map<string, Reader>();
  /** The token that was accepted. */
  token: string | undefined;
  #beat: ReturnType<typeof setInterval> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly hub: FakeServer, readonly url: string, readonly protocol: string) {
    if (hub.websockets === "refused") {
      setTimeout(() => { this.drop(1006); }, 1);
      return;
    }
    setTimeout(() => {
      if (this.readyState !== 0) return;
      this.readyState = OPEN;
      hub.opened++;
      hub.sockets.add(this);
      if (hub.tokens) this.#deadline = setTimeout(() => { this.drop(4203, "auth_timeout"); }, 10_000);
      this.#beat = setInterval(() => { if (hub.beats) this.tell({ type: "beat" }); }, 20_000);
      this.onopen?.();
    }, 1);
  }

  send(text: string): void {
    if (this.readyState !== OPEN) throw new Error("it is not open");
    const command = JSON.parse(text) as Record<string, unknown>;
    this.sent.push(command);
    setTimeout(() => { this.#obey(command); }, 1);
  }

  tell(message: Record<string, unknown>): void {
    if (message.type === "closed") this.readers.delete(String(message.stream));
    if (this.readyState !== OPEN || this.hub.websockets === "deaf") return;
    const data = JSON.stringify(message);
    for (let i = this.hub.doubles && message.type === "events" && this.hub.chance.once(4) ? 2 : 1; i > 0; i--) this.onmessage?.({ data });
  }

  close(): void {
    this.#gone();
  }

  /** The other side or the network closes the socket. */
  drop(code: number, reason = ""): void {
    if (this.readyState === 3) return;
    this.#gone();
    this.onclose?.({ code, reason });
  }

  #gone(): void {
    this.readyState = 3;
    clearInterval(this.#beat);
    clearTimeout(this.#deadline);
    for (const reader of this.readers.values()) reader.stop();
    this.hub.sockets.delete(this);
  }

  #obey({ type, id, stream: name, from, token }: Record<string, unknown>): void {
    if (this.readyState !== OPEN) return;
    const stream = String(name);
    if (type === "auth") this.#auth(id, String(token));
    else if (type !== "ping" && this.hub.tokens && this.token === undefined)
      this.tell({ type: "error", id, code: "unauthorized", message: "this needs a credential" });
    else if (type === "subscribe") {
      const { refusal } = this.hub;
      if (refusal !== undefined) this.tell({ type: "error", id, code: refusal, message: "no" });
      else if (this.readers.has(stream)) this.tell({ type: "error", id, code: "conflict", message: "it is followed" });
      else this.readers.set(stream, subscribed(this.hub, stream, String(from), (message) => { this.tell(message); }, { id }));
    } else if (type === "unsubscribe") {
      this.readers.get(stream)?.stop();
      this.readers.delete(stream);
      this.tell({ type: "ok", id, stream });
    } else this.tell({ type: "ok", id, stream, member: "mem_1" });
  }

  #auth(id: unknown, token: string): void {
    if (!this.hub.tokens) {
      this.hub.judge(token);
      this.tell({ type: "error", id, code: "not_supported", message: "no" });
      return;
    }
    const error = this.hub.judge(token);
    if (error) {
      this.tell({ type: "error", id, ...error });
      if (this.token === undefined) setTimeout(() => { this.drop(error.code === "token_expired" ? 4200 : 4501); }, 1);
      return;
    }
    this.token = token;
    clearTimeout(this.#deadline);
    const left = this.hub.left(token);
    if (left !== undefined) this.#deadline = setTimeout(() => { this.drop(4200, "token_expired"); }, left + 25_000);
    this.tell({ type: "ok", id, expires_in: left === undefined ? null : Math.floor(left / 1000) });
  }
}

/** A response of `POST /v1/follow`, whose bytes are cut anywhere. */
export class FakeBody {
  readonly response: Response;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly #readers = new Map<string, Reader>();
  #over = false;

  constructor(
    readonly hub: FakeServer,
    /** What was asked for. */
    readonly asked: readonly { stream: string; from: string }[],
    signal: AbortSignal | undefined,
    readonly token: string | undefined,
  ) {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => { this.#controller = controller; } });
    this.response = new Response(body);
    hub.bodies.add(this);
    for (const { stream, from } of asked) {
      const { refusal } = hub;
      if (refusal !== undefined) this.tell({ type: "error", stream, code: refusal, message: "no" });
      else this.#readers.set(stream, subscribed(hub, stream, from, (message) => { this.tell(message); }));
    }
    signal?.addEventListener("abort", () => { this.cut(); });
    const left = hub.left(token);
    if (left !== undefined) setTimeout(() => { this.end(); }, left);
  }

  /** End as when the token expires. */
  end(): void {
    if (this.#over) return;
    this.#stop();
    this.#controller.close();
  }

  cut(): void {
    if (this.#over) return;
    this.#stop();
    this.#controller.error(new TypeError("network error"));
  }

  tell(message: Record<string, unknown>): void {
    let bytes = new TextEncoder().encode(`data: ${JSON.stringify(message)}\n\n`);
    while (bytes.length && !this.#over) {
      const size = 1 + this.hub.chance.below(bytes.length);
      this.#controller.enqueue(bytes.slice(0, size));
      bytes = bytes.slice(size);
    }
    if (message.type !== "closed") return;
    this.#readers.delete(String(message.stream));
    if (!this.#readers.size) this.end();
  }

  #stop(): void {
    this.#over = true;
    for (const reader of this.#readers.values()) reader.stop();
    this.hub.bodies.delete(this);
  }
}
