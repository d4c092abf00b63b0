/**
 * A hub without a network: streams with epochs, `hub.v1` over fake WebSockets, server-sent
 * events over a fake `fetch`, and faults on demand. It runs on vitest's fake clock.
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
  /** Some frames arrive twice. */
  doubles = false;
  beats = true;
  /** The error code with which subscriptions are refused. */
  refusal: string | undefined;

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

  /** Break every connection. */
  cut(): void {
    for (const socket of [...this.sockets]) socket.drop(1006);
    for (const body of [...this.bodies]) body.cut();
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    await new Promise((resolve) => setTimeout(resolve, 1));
    init.signal?.throwIfAborted();
    if (!this.http) throw new TypeError("fetch failed");
    const { pathname, searchParams } = new URL(url);
    if (pathname === "/v1/models") return Response.json({ data: [{ id: "demo" }] });
    const name = decodeURIComponent(pathname.replace("/v1/live/", ""));
    this.reads++;
    const body = new FakeBody(this, this.stream(name), searchParams.get("from") ?? "start", init.signal ?? undefined);
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

const OPEN = 1;

export class FakeSocket {
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  readonly readers = new Map<string, Reader>();
  #beat: ReturnType<typeof setInterval> | undefined;

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
    for (const reader of this.readers.values()) reader.stop();
    this.hub.sockets.delete(this);
  }

  #obey({ type, id, stream: name, from }: Record<string, unknown>): void {
    if (this.readyState !== OPEN) return;
    const stream = String(name);
    if (type === "subscribe") {
      const { refusal } = this.hub;
      if (refusal !== undefined) this.tell({ type: "error", id, code: refusal, message: "no" });
      else if (this.readers.has(stream)) this.tell({ type: "error", id, code: "conflict", message: "it is followed" });
      else this.#subscribe(id, stream, String(from));
    } else if (type === "unsubscribe") {
      this.readers.get(stream)?.stop();
      this.readers.delete(stream);
      this.tell({ type: "ok", id, stream });
    } else this.tell({ type: "ok", id, stream, member: "mem_1" });
  }

  #subscribe(id: unknown, name: string, from: string): void {
    const begin = (from: string): Reader => {
      const stream = this.hub.stream(name);
      return new Reader(this.hub, stream, from, {
        items: (items) => { this.#events(name, items); },
        reset: (position, reason) => { this.tell({ type: "reset", stream: name, position, reason }); },
        closed: (position) => {
          this.readers.delete(name);
          this.tell({ type: "closed", stream: name, position });
        },
      });
    };
    const stream = this.hub.streams.get(name);
    if (stream) {
      const { offset } = stream.begin(from);
      this.tell({ type: "ok", id, stream: name, position: stream.place(offset), tail: stream.place(stream.records.length) });
    } else this.tell({ type: "ok", id, stream: name, position: null, tail: null });
    this.readers.set(name, begin(stream ? from : "start"));
  }

  #events(stream: string, items: readonly Item[]): void {
    const last = items.at(-1)?.position ?? "";
    const offsets = items.map(({ position }) => offsetOf(position));
    const rowed = offsets.every((offset, i) => offset === offsetOf(last) + 1 - items.length + i);
    this.tell({ type: "events", stream, position: last, events: items.map(({ event }) => event), ...(!rowed && { offsets }) });
  }
}

/** A streaming response whose bytes are cut anywhere. */
export class FakeBody {
  readonly response: Response;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly #reader: Reader;
  #over = false;

  constructor(readonly hub: FakeServer, stream: FakeStream, from: string, signal: AbortSignal | undefined) {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => { this.#controller = controller; } });
    const headers = { "Stream-Next-Offset": stream.place(stream.begin(from).offset) };
    this.response = new Response(body, { headers });
    hub.bodies.add(this);
    this.#reader = new Reader(hub, stream, from, {
      items: (items) => { this.#write(items.map(({ event, position }) => `id: ${position}\ndata: ${JSON.stringify(event)}\n\n`).join("")); },
      reset: (position, reason) => { this.#write(`event: reset\nid: ${position}\ndata: ${JSON.stringify({ type: "reset", position, reason })}\n\n`); },
      closed: (position) => {
        this.#write(`event: closed\nid: ${position}\ndata: ${JSON.stringify({ type: "closed", position })}\n\n`);
        this.#stop();
        this.#controller.close();
      },
    });
    signal?.addEventListener("abort", () => { this.cut(); });
  }

  cut(): void {
    if (this.#over) return;
    this.#stop();
    this.#controller.error(new TypeError("network error"));
  }

  #stop(): void {
    this.#over = true;
    this.#reader.stop();
    this.hub.bodies.delete(this);
  }

  #write(text: string): void {
    let bytes = new TextEncoder().encode(text);
    while (bytes.length && !this.#over) {
      const size = 1 + this.hub.chance.below(bytes.length);
      this.#controller.enqueue(bytes.slice(0, size));
      bytes = bytes.slice(size);
    }
  }
}
