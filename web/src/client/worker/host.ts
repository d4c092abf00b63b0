/**
 * The worker's side of a connection that the tabs of a page share.
 *
 * Each tab has its own port. Those with the same credential share one connection, for which the
 * worker asks one of them for a token: the function that returns it lives in the tab. The data that
 * waits for a tab that reads nothing (a frozen one) is bounded: at the bound it is dropped, and
 * follows again when it wakes.
 */

import type { From } from "../../protocol/events.js";
import { HubError } from "../../protocol/errors.js";
import {
  ACKNOWLEDGED,
  type Credential,
  type PortSignal,
  type Status,
  type TabMessage,
  UNTAKEN,
  type WorkerMessage,
} from "../../protocol/frames.js";
import { Connection } from "../connection.js";
import type { Presence } from "../source.js";
import type { Token } from "../token.js";
import { unique } from "../unique.js";
import { hold, outlive } from "./locks.js";

/** How long a tab may take to send its token; a frozen one never does. */
const PATIENCE = 3_000;

export class Host {
  readonly #url: string;
  readonly #lock = unique();
  readonly #held: Promise<unknown>;
  readonly #groups = new Map<string, Group>();

  constructor(url: string) {
    this.#url = url;
    this.#held = hold(this.#lock);
  }

  /** Serve a tab until its lock is released. */
  serve(port: MessagePort): void {
    port.onmessage = async ({ data }: MessageEvent<TabMessage>) => {
      if (data.verb !== "hello") return;
      await this.#held;
      const group = this.#group(data.credential);
      const gone = new AbortController();
      const tab = new Tab(port, group.connection, () => {
        gone.abort();
        group.leave(tab);
      });
      outlive(data.lock, () => { tab.close(); }, gone.signal);
      tab.post({ lock: this.#lock });
      group.join(tab);
    };
  }

  #group(credential: Credential | undefined): Group {
    const key = JSON.stringify(credential ?? null);
    const known = this.#groups.get(key);
    if (known) return known;
    // A closed connection does not reconnect, so the next tab begins another group.
    const group = new Group(this.#url, credential, () => {
      if (this.#groups.get(key) === group) this.#groups.delete(key);
    });
    this.#groups.set(key, group);
    return group;
  }
}

/** The tabs that share one connection. */
class Group {
  readonly connection: Connection;
  readonly #tabs = new Set<Tab>();
  #status: Status = { state: "connecting" };

  /** `closed` is called when the connection is. */
  constructor(url: string, credential: Credential | undefined, closed: () => void) {
    const listener = (status: Status): void => {
      this.#status = status;
      for (const tab of this.#tabs) tab.post({ status });
      if (status.state === "closed") closed();
    };
    let token: Token | undefined;
    if (credential && "token" in credential) token = credential.token;
    else if (credential && "subject" in credential) token = () => this.#token();
    this.connection = new Connection(url, listener, token);
  }

  join(tab: Tab): void {
    this.#tabs.add(tab);
    tab.post({ status: this.#status });
  }

  leave(tab: Tab): void {
    this.#tabs.delete(tab);
    if (!this.#tabs.size) this.connection.close();
  }

  /** The token of a tab, the newest first, because the older ones may be frozen. */
  async #token(): Promise<string> {
    // The first tab joins a moment after the connection was made.
    await Promise.resolve();
    for (const tab of [...this.#tabs].reverse()) {
      const token = await tab.token();
      if (token !== undefined) return token;
    }
    throw new HubError("token_unavailable", "No tab of the page has a token for the hub.");
  }
}

/** One tab with its subscriptions and participations, which the functions in `#ends` stop. */
class Tab {
  readonly #port: MessagePort;
  readonly #connection: Connection;
  readonly #gone: () => void;
  readonly #wanted = new Map<number, (token: string | undefined) => void>();
  #asked = 0;
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

  /** The tab's token; `undefined` if it has none, or does not respond. */
  token(): Promise<string | undefined> {
    const wanted = ++this.#asked;
    return new Promise((resolve) => {
      const timer = setTimeout(() => { this.#wanted.get(wanted)?.(undefined); }, PATIENCE);
      this.#wanted.set(wanted, (token) => {
        clearTimeout(timer);
        this.#wanted.delete(wanted);
        resolve(token);
      });
      this.post({ wanted });
    });
  }

  close(): void {
    for (const answer of [...this.#wanted.values()]) answer(undefined);
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
      case "token":
        this.#wanted.get(message.id)?.(message.token);
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
