/** A WebSocket to the hub, subprotocol `hub.v1`, for all streams that are followed. */

import { HubError } from "../protocol/errors.js";
import type { From, HubEvent, Position } from "../protocol/events.js";
import { itemsOf, type Joined, type Link, type LinkEvents, PATIENCE, SILENCE, type Sink } from "../protocol/frames.js";

const PROTOCOL = "hub.v1";
const LOOK = 2_500;

/** Close codes from here on mean: do not reconnect. Those below mean the opposite. */
const DISMISSED = 4500;

/** All fields that frames of the hub may have. */
interface ServerFrame {
  readonly type: string;
  readonly id?: number;
  readonly stream: string;
  readonly position: Position | null;
  readonly tail?: Position | null;
  readonly events: readonly HubEvent[];
  readonly offsets?: readonly number[];
  readonly reason: string;
  readonly code: string;
  readonly message: string;
  readonly member: string;
  readonly joined?: readonly Joined[];
  readonly left?: readonly string[];
  readonly retry_ms: number;
}

export class SocketLink implements Link {
  readonly #socket: WebSocket;
  readonly #events: LinkEvents;
  readonly #replies = new Map<number, (frame: ServerFrame) => void>();
  readonly #sinks = new Map<string, Sink>();
  readonly #watch: ReturnType<typeof setInterval>;
  #asked = 0;
  #heard = Date.now();
  #patience = PATIENCE;
  #after: number | undefined;
  #over = false;

  constructor(url: string, events: LinkEvents) {
    this.#events = events;
    this.#socket = new WebSocket(url, PROTOCOL);
    // Some proxies open a WebSocket and let nothing through, so it counts as open after a response.
    this.#socket.onopen = () => {
      this.#ask({ type: "ping" }, () => {
        events.opened();
      });
    };
    this.#socket.onmessage = ({ data }) => {
      this.#hear(String(data));
    };
    this.#socket.onclose = ({ code, reason }) => {
      if (code >= DISMISSED && code < 5000) this.#end((events) => { events.dismissed(`close_${code}`, reason); });
      else this.#lose(this.#after === undefined ? "the connection to the hub was lost" : "the hub is restarting");
    };
    this.#watch = setInterval(() => {
      if (Date.now() - this.#heard > this.#patience) this.#lose("the hub stopped responding");
    }, LOOK);
  }

  follow(stream: string, from: From, sink: Sink): void {
    this.#ask({ type: "subscribe", stream, from, wait: true }, (frame) => {
      if (frame.type === "error") {
        sink.refused(new HubError(frame.code, frame.message));
        return;
      }
      // Only now, because earlier frames belong to an earlier subscription.
      this.#sinks.set(stream, sink);
      sink.begun(frame.position, frame.tail);
    });
  }

  leave(stream: string): void {
    this.#sinks.delete(stream);
    this.#ask({ type: "unsubscribe", stream });
  }

  join(stream: string, label: string, state: unknown): void {
    this.#ask({ type: "presence", stream, member: label, state }, ({ type, member }) => {
      if (type === "ok") this.#sinks.get(stream)?.named?.(label, member);
    });
  }

  check(): void {
    this.#heard = Date.now();
    this.#patience = PATIENCE;
    this.#ask({ type: "ping" });
  }

  close(): void {
    this.#end(() => undefined);
  }

  #ask(command: Record<string, unknown>, answered?: (frame: ServerFrame) => void): void {
    if (this.#over || this.#socket.readyState !== WebSocket.OPEN) return;
    const id = ++this.#asked;
    if (answered) this.#replies.set(id, answered);
    this.#socket.send(JSON.stringify({ ...command, id }));
  }

  #hear(text: string): void {
    this.#heard = Date.now();
    this.#patience = SILENCE;
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch {
      this.#lose("the server is not a hub");
      return;
    }
    const sink = this.#sinks.get(frame.stream);
    const position = frame.position ?? "";
    switch (frame.type) {
      case "events":
        sink?.items(itemsOf(frame.events, position, frame.offsets), text.length);
        break;
      case "reset":
        sink?.reset(position, frame.reason);
        break;
      case "closed":
        this.#sinks.delete(frame.stream);
        sink?.closed();
        break;
      case "presence":
        sink?.members?.(frame.joined ?? [], frame.left ?? []);
        break;
      case "draining":
        this.#after = frame.retry_ms;
        break;
      default: {
        const answered = this.#replies.get(frame.id ?? 0);
        this.#replies.delete(frame.id ?? 0);
        answered?.(frame);
        // The stream that was waited for now exists, but cannot be followed.
        if (!answered && frame.type === "error") sink?.refused(new HubError(frame.code, frame.message));
      }
    }
  }

  #lose(why: string): void {
    this.#end((events) => { events.lost(why, this.#after); });
  }

  #end(tell: (events: LinkEvents) => void): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    this.#sinks.clear();
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    tell(this.#events);
  }
}
