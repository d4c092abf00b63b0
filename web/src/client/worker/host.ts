/**
 * The worker's side of a connection that all tabs of a page share.
 *
 * Each tab has its own port, and all share one connection. The data that waits for a tab that reads
 * nothing (a frozen one) is bounded: at the bound it is dropped, and follows again when it wakes.
 */

import type { From } from "../../protocol/events.js";
import {
  ACKNOWLEDGED,
  type PortSignal,
  type Status,
  type TabMessage,
  UNTAKEN,
  type WorkerMessage,
} from "../../protocol/frames.js";
import { Connection } from "../connection.js";
import type { Presence } from "../source.js";
import { unique } from "../unique.js";
import { hold, outlive } from "./locks.js";

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

  /** Serve a tab until its lock is released. */
  serve(port: MessagePort): void {
    port.onmessage = async ({ data }: MessageEvent<TabMessage>) => {
      if (data.verb !== "hello") return;
      await this.#held;
      this.#connection ??= new Connection(this.#url, (status) => {
        this.#status = status;
        for (const tab of this.#tabs) tab.post({ status });
      });
      const gone = new AbortController();
      const tab = new Tab(port, this.#connection, () => {
        gone.abort();
        this.#leave(tab);
      });
      this.#tabs.add(tab);
      outlive(data.lock, () => { tab.close(); }, gone.signal);
      tab.post({ lock: this.#lock });
      tab.post({ status: this.#status });
    };
  }

  #leave(tab: Tab): void {
    this.#tabs.delete(tab);
    if (this.#tabs.size) return;
    this.#connection?.close();
    this.#connection = undefined;
  }
}

/** One tab with its subscriptions and participations, which the functions in `#ends` stop. */
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
    port.onmessage = ({ data }: MessageEvent<TabMessage>) => { this.#hear(data); };
  }

  post(message: WorkerMessage): void {
    this.#port.postMessage(message);
  }

  close(): void {
    this.#port.onmessage = null;
    this.#port.close();
    for (const end of [...this.#ends.values()]) end();
    this.#gone();
  }

  #hear(message: TabMessage): void {
    switch (message.verb) {
      case "follow":
        this.#follow(message.id, message.stream, message.from);
        break;
      case "presence": {
        const { id, stream, state } = message;
        const presence = this.#connection.presence(stream, state, (members) => { this.#tell(id, { name: "members", told: members }); });
        this.#presences.set(id, presence);
        this.#ends.set(id, () => { presence.leave(); });
        break;
      }
      case "set":
        this.#presences.get(message.id)?.set(message.state);
        break;
      case "stop":
        this.#stop(message.id);
        break;
      case "taken":
        this.#untaken.set(message.id, (this.#untaken.get(message.id) ?? 0) - ACKNOWLEDGED);
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

  #follow(id: number, stream: string, from: From): void {
    this.#stop(id);
    this.#untaken.set(id, 0);
    const end = this.#connection.follow(stream, from, (signal) => {
      if (signal.name === "items" && !this.#mayTell(id)) {
        this.#tell(id, { name: "behind" });
        this.#stop(id);
        return;
      }
      this.#tell(id, signal);
      if (signal.name === "closed" || signal.name === "failed") this.#stop(id);
    });
    this.#ends.set(id, end);
  }

  /** Count one more signal with items; returns whether the tab reads enough of them. */
  #mayTell(id: number): boolean {
    const untaken = (this.#untaken.get(id) ?? 0) + 1;
    this.#untaken.set(id, untaken);
    return untaken <= UNTAKEN;
  }

  #tell(id: number, signal: PortSignal): void {
    this.post({ id, ...signal });
  }

  #stop(id: number): void {
    this.#ends.get(id)?.();
    for (const held of [this.#ends, this.#untaken, this.#presences]) held.delete(id);
  }
}
