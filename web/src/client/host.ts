/**
 * The worker's side of a connection that all tabs of a page share.
 *
 * Each tab is served on its own port, from one connection. What waits for a tab that takes
 * nothing (a frozen one) is bounded: it is let go, and follows again when it wakes.
 */

import { Connection } from "./connection.js";
import type { Presence, Status } from "./hub.js";
import { hold, outlive } from "./locks.js";
import type { Answered, Asked, Words } from "./ports.js";
import { ACKNOWLEDGED, UNTAKEN } from "./ports.js";
import { unique } from "./unique.js";

export class Host {
  readonly #url: string;
  readonly #lock = unique();
  readonly #held: Promise<unknown>;
  readonly #tabs = new Set<Tab>();
  #status: Status = { state: "connecting" };
  #connection: Connection | undefined;

  constructor(url: string) {
    this.#url = url;
    this.#held = hold(this.#lock);
  }

  /** Serve a tab until its lock is free. */
  serve(port: MessagePort): void {
    port.onmessage = async ({ data }: MessageEvent<Asked>) => {
      if (data.verb !== "hello") return;
      await this.#held;
      this.#connection ??= new Connection(this.#url, (status) => {
        this.#status = status;
        for (const tab of this.#tabs) tab.say({ status });
      });
      const gone = new AbortController();
      const tab = new Tab(port, this.#connection, () => {
        gone.abort();
        this.#leave(tab);
      });
      this.#tabs.add(tab);
      outlive(data.lock, () => { tab.close(); }, gone.signal);
      tab.say({ lock: this.#lock });
      tab.say({ status: this.#status });
    };
  }

  #leave(tab: Tab): void {
    this.#tabs.delete(tab);
    if (this.#tabs.size) return;
    this.#connection?.close();
    this.#connection = undefined;
  }
}

/** One tab: its followings and participations, each ended by what `#ends` holds. */
class Tab {
  readonly #port: MessagePort;
  readonly #connection: Connection;
  readonly #gone: () => void;
  readonly #ends = new Map<number, () => void>();
  readonly #untaken = new Map<number, number>();
  readonly #presences = new Map<number, Presence>();

  constructor(port: MessagePort, connection: Connection, gone: () => void) {
    this.#port = port;
    this.#connection = connection;
    this.#gone = gone;
    port.onmessage = ({ data }: MessageEvent<Asked>) => { this.#hear(data); };
  }

  say(answered: Answered): void {
    this.#port.postMessage(answered);
  }

  close(): void {
    this.#port.onmessage = null;
    this.#port.close();
    for (const end of [...this.#ends.values()]) end();
    this.#gone();
  }

  #hear(asked: Asked): void {
    switch (asked.verb) {
      case "follow":
        this.#follow(asked.id, asked.stream, asked.from);
        break;
      case "presence": {
        const { id, stream, state } = asked;
        const presence = this.#connection.presence(stream, state, (told) => { this.#tell(id, { name: "members", told }); });
        this.#presences.set(id, presence);
        this.#ends.set(id, () => { presence.leave(); });
        break;
      }
      case "set":
        this.#presences.get(asked.id)?.set(asked.state);
        break;
      case "stop":
        this.#stop(asked.id);
        break;
      case "taken":
        this.#untaken.set(asked.id, (this.#untaken.get(asked.id) ?? 0) - ACKNOWLEDGED);
        break;
      case "retry":
        this.#connection.retry();
        break;
      case "offline":
        this.#connection.offline();
        break;
      case "bye":
        this.close();
    }
  }

  #follow(id: number, stream: string, from: string): void {
    this.#stop(id);
    this.#untaken.set(id, 0);
    const end = this.#connection.follow(stream, from, {
      placed: (told) => { this.#tell(id, { name: "placed", told }); },
      items: (told) => {
        const untaken = (this.#untaken.get(id) ?? 0) + 1;
        this.#untaken.set(id, untaken);
        if (untaken <= UNTAKEN) this.#tell(id, { name: "items", told });
        else {
          this.#tell(id, { name: "behind" });
          this.#stop(id);
        }
      },
      reset: (...told) => { this.#tell(id, { name: "reset", told }); },
      lag: (told) => { this.#tell(id, { name: "lag", told }); },
      waiting: () => { this.#tell(id, { name: "waiting" }); },
      closed: () => {
        this.#tell(id, { name: "closed" });
        this.#stop(id);
      },
      failed: ({ code, message, status }) => {
        this.#tell(id, { name: "failed", told: { code, message, status } });
        this.#stop(id);
      },
    });
    this.#ends.set(id, end);
  }

  #tell(id: number, words: Words): void {
    this.say({ id, ...words });
  }

  #stop(id: number): void {
    this.#ends.get(id)?.();
    for (const held of [this.#ends, this.#untaken, this.#presences]) held.delete(id);
  }
}
