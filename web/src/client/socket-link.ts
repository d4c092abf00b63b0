/** A WebSocket to the hub, subprotocol `hub.v1`, for all streams that are followed. */

import { HubError } from "../protocol/errors.js";
import type { From } from "../protocol/events.js";
import { deliver, type Link, type LinkEvents, PATIENCE, type ServerFrame, SILENCE, type Sink } from "../protocol/frames.js";
import { backoff } from "./backoff.js";
import { present, type Token } from "./token.js";

const PROTOCOL = "hub.v1";
const LOOK = 2_500;

/** Close codes from here on mean: do not reconnect. Those below mean the opposite. */
const DISMISSED = 4500;

/** Close codes of connections whose token does not hold. */
const DENIED: Readonly<Record<number, readonly [string, string]>> = {
  4200: ["token_expired", "The token has expired."],
  4203: ["unauthorized", "The hub needs a token."],
  4501: ["unauthorized", "The hub does not accept this token."],
  4502: ["revoked", "This token was revoked."],
};

/** When the next token is presented: this many milliseconds before the end, at most a quarter of the time. */
const EARLY = 60_000;

/** The longest and the shortest time until then. */
const LATEST = 86_400_000;
const SOONEST = 1_000;

export class SocketLink implements Link {
  readonly #socket: WebSocket;
  readonly #events: LinkEvents;
  readonly #replies = new Map<number, (frame: ServerFrame) => void>();
  readonly #sinks = new Map<string, Sink>();
  readonly #watch: ReturnType<typeof setInterval>;
  readonly #source: Token | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;
  #heard = Date.now();
  #patience = PATIENCE;
  #after: number | undefined;
  #over = false;

  /** `token` is presented first; before it expires, the next one from `source` is. */
  constructor(url: string, events: LinkEvents, token?: string, source?: Token) {
    this.#events = events;
    this.#source = source;
    this.#socket = new WebSocket(url, PROTOCOL);
    // Some proxies open a WebSocket and let nothing through, so it counts as open after a response.
    this.#socket.onopen = () => {
      this.#ask(token === undefined ? { type: "ping" } : { type: "auth", token }, (frame) => {
        // A hub without authentication takes no tokens.
        if (frame.type === "error" && frame.code !== "not_supported") this.#deny(new HubError(frame.code, frame.message));
        else {
          this.#renew(token, frame.expires_in);
          events.opened();
        }
      });
    };
    this.#socket.onmessage = ({ data }) => {
      this.#hear(String(data));
    };
    this.#socket.onclose = ({ code, reason }) => {
      const denied = DENIED[code];
      // Without a token, a session may have expired, which can be renewed.
      if (denied && (code !== 4200 || token !== undefined)) this.#deny(new HubError(...denied));
      else if (code >= DISMISSED && code < 5000) this.#end((events) => { events.dismissed(`close_${code}`, reason); });
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

  /** Present the next token before the current one expires, again and again. */
  #renew(token: string | undefined, lasts: number | null | undefined, failures = 0): void {
    const source = this.#source;
    if (this.#over || token === undefined || typeof source !== "function" || lasts == null) return;
    const time = lasts * 1000;
    const wait = failures ? backoff(failures) : Math.min(time - Math.min(EARLY, time / 4), LATEST);
    const again = (): void => { this.#renew(token, lasts, failures + 1); };
    this.#renewal = setTimeout(() => {
      present(source).then((next) => {
        if (next === token) again();
        else this.#ask({ type: "auth", token: next }, (frame) => {
          if (frame.type !== "error") this.#renew(next, frame.expires_in);
          // Another user needs another connection.
          else if (frame.code === "not_permitted") this.#lose(frame.message);
          else again();
        });
      }, again);
    }, Math.max(wait, SOONEST));
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
    const answered = this.#replies.get(frame.id ?? 0);
    const sink = this.#sinks.get(frame.stream);
    if (answered) {
      this.#replies.delete(frame.id ?? 0);
      answered(frame);
    } else if (frame.type === "draining") this.#after = frame.retry_ms;
    else {
      if (frame.type === "closed") this.#sinks.delete(frame.stream);
      deliver(frame, sink, text.length);
    }
  }

  #deny(error: HubError): void {
    this.#end((events) => { events.denied(error); });
  }

  #lose(why: string): void {
    this.#end((events) => { events.lost(why, this.#after); });
  }

  #end(tell: (events: LinkEvents) => void): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    clearTimeout(this.#renewal);
    this.#sinks.clear();
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    tell(this.#events);
  }
}
