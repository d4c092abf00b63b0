/** A WebSocket of the hub, subprotocol `hub.v1`, for as many streams as are followed. */

import type { From, HubEvent, Position } from "./events.js";
import { HubError } from "./hub.js";
import type { Fate, Joined, Link, Sink } from "./link.js";
import { itemsOf, PATIENCE, SILENCE } from "./link.js";

const PROTOCOL = "hub.v1";
const LOOK = 2_500;

/** Close codes from here on say: do not come back. Below lie those that say the contrary. */
const DISMISSED = 4500;

interface Told {
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
  readonly #fate: Fate;
  readonly #replies = new Map<number, (told: Told) => void>();
  readonly #sinks = new Map<string, Sink>();
  readonly #watch: ReturnType<typeof setInterval>;
  #asked = 0;
  #heard = Date.now();
  #patience = PATIENCE;
  #after: number | undefined;
  #over = false;

  constructor(url: string, fate: Fate) {
    this.#fate = fate;
    this.#socket = new WebSocket(url, PROTOCOL);
    // Some proxies let a WebSocket open and nothing through: it is open when an answer has come.
    this.#socket.onopen = () => {
      this.#ask({ type: "ping" }, () => {
        fate.opened();
      });
    };
    this.#socket.onmessage = ({ data }) => {
      this.#hear(String(data));
    };
    this.#socket.onclose = ({ code, reason }) => {
      if (code >= DISMISSED && code < 5000) this.#end((fate) => { fate.dismissed(`close_${code}`, reason); });
      else this.#lose(this.#after === undefined ? "the connection to the hub broke" : "the hub restarts");
    };
    this.#watch = setInterval(() => {
      if (Date.now() - this.#heard > this.#patience) this.#lose("the hub fell silent");
    }, LOOK);
  }

  follow(stream: string, from: From, sink: Sink): void {
    this.#ask({ type: "subscribe", stream, from, wait: true }, (told) => {
      if (told.type === "error") {
        sink.refused(new HubError(told.code, told.message));
        return;
      }
      // Only now: what came before belongs to an earlier subscription.
      this.#sinks.set(stream, sink);
      sink.begun(told.position, told.tail);
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

  #ask(command: Record<string, unknown>, answered?: (told: Told) => void): void {
    if (this.#over || this.#socket.readyState !== WebSocket.OPEN) return;
    const id = ++this.#asked;
    if (answered) this.#replies.set(id, answered);
    this.#socket.send(JSON.stringify({ ...command, id }));
  }

  #hear(text: string): void {
    this.#heard = Date.now();
    this.#patience = SILENCE;
    let told: Told;
    try {
      told = JSON.parse(text) as Told;
    } catch {
      this.#lose("what answers is not a hub");
      return;
    }
    const sink = this.#sinks.get(told.stream);
    const position = told.position ?? "";
    switch (told.type) {
      case "events":
        sink?.items(itemsOf(told.events, position, told.offsets), text.length);
        break;
      case "reset":
        sink?.reset(position, told.reason);
        break;
      case "closed":
        this.#sinks.delete(told.stream);
        sink?.closed();
        break;
      case "presence":
        sink?.members?.(told.joined ?? [], told.left ?? []);
        break;
      case "draining":
        this.#after = told.retry_ms;
        break;
      default: {
        const answered = this.#replies.get(told.id ?? 0);
        this.#replies.delete(told.id ?? 0);
        answered?.(told);
        // A stream that was waited for has begun, and cannot be followed.
        if (!answered && told.type === "error") sink?.refused(new HubError(told.code, told.message));
      }
    }
  }

  #lose(why: string): void {
    this.#end((fate) => { fate.lost(why, this.#after); });
  }

  #end(tell: (fate: Fate) => void): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    this.#sinks.clear();
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    tell(this.#fate);
  }
}
