/**
 * The tab's side of a connection that all tabs of a page share: a port to their worker.
 *
 * Neither side is notified when the other dies, so each holds a lock for as long as it lives.
 */

import type { From } from "../../protocol/events.js";
import {
  ACKNOWLEDGED,
  type Credential,
  type Member,
  type PortSignal,
  type SignalListener,
  type TabMessage,
  WORKER,
  type WorkerMessage,
} from "../../protocol/frames.js";
import type { Presence, Source, StatusListener } from "../source.js";
import { present, subjectOf, type Token } from "../token.js";
import { unique } from "../unique.js";
import { hold, outlive } from "./locks.js";

/** How long the worker may take to respond, in milliseconds. */
const PATIENCE = 2_000;

export class SharedConnection implements Source {
  readonly #port: MessagePort;
  readonly #listeners = new Map<number, (signal: PortSignal) => void>();
  readonly #gone = new AbortController();
  readonly #token: Token | undefined;
  readonly #lost: (again: boolean) => void;
  #credential: Credential | undefined;
  #release: (() => void) | undefined;
  #next = 0;

  private constructor(
    port: MessagePort,
    lost: (again: boolean) => void,
    token: Token | undefined,
    private readonly account: string | undefined,
  ) {
    this.#port = port;
    this.#lost = lost;
    this.#token = token;
  }

  /**
   * Open the connection to a hub that this page shares with those that have the same credential;
   * `undefined` if that is not possible: there are no shared workers or locks, the page has another
   * origin or no token yet, or the worker does not respond. `lost` is called if the connection can
   * no longer be used: the worker is dead or, with `again`, the page now has another user's token.
   */
  static async open(
    url: string,
    listener: StatusListener,
    lost: (again: boolean) => void,
    token?: Token,
    account?: string,
  ): Promise<SharedConnection | undefined> {
    if (!("SharedWorker" in globalThis) || !("locks" in navigator)) return undefined;
    try {
      const worker = new SharedWorker(`${url}client-worker.js`, { type: "module", name: WORKER });
      const shared = new SharedConnection(worker.port, lost, token, account);
      if (await shared.#begin(worker, listener)) return shared;
      shared.close();
    } catch {
      // The page has another origin or no token yet, or its policy forbids workers.
    }
    return undefined;
  }

  follow(stream: string, from: From, listener: SignalListener): () => void {
    let place = from;
    let taken = 0;
    const id = this.#ask((id) => ({ verb: "follow", id, stream, from: place }), (signal) => {
      switch (signal.name) {
        case "placed":
          place = signal.told;
          break;
        case "items":
          place = signal.told.at(-1)?.position ?? place;
          if (++taken % ACKNOWLEDGED === 0) this.#post({ verb: "taken", id });
          break;
        case "reset":
          [place] = signal.told;
          break;
        case "closed":
        case "failed":
          this.#listeners.delete(id);
          break;
        case "behind":
          taken = 0;
          this.#post({ verb: "follow", id, stream, from: place });
          return;
        case "members":
          return;
      }
      listener(signal);
    });
    return () => { this.#stop(id); };
  }

  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence {
    const id = this.#ask((id) => ({ verb: "presence", id, stream, state }), (signal) => {
      if (signal.name === "members") changed(signal.told);
    });
    return {
      set: (now) => { this.#post({ verb: "set", id, state: now }); },
      leave: () => { this.#stop(id); },
    };
  }

  retry(): void {
    this.#post({ verb: "retry" });
  }

  offline(): void {
    this.#post({ verb: "offline" });
  }

  close(): void {
    this.#gone.abort();
    this.#listeners.clear();
    this.#post({ verb: "bye" });
    this.#port.close();
    this.#release?.();
  }

  async #begin(worker: SharedWorker, listener: StatusListener): Promise<boolean> {
    const mine = unique();
    const credential = await credentialOf(this.#token, this.account);
    this.#credential = credential;
    this.#release = await hold(mine);
    return new Promise((begun) => {
      setTimeout(() => { begun(false); }, PATIENCE);
      worker.onerror = () => { begun(false); };
      this.#port.onmessage = ({ data }: MessageEvent<WorkerMessage>) => {
        if (this.#gone.signal.aborted) return;
        if ("status" in data) listener(data.status);
        else if ("wanted" in data) void this.#give(data.wanted);
        else if ("id" in data) this.#listeners.get(data.id)?.(data);
        else {
          outlive(data.lock, () => { this.#lost(false); }, this.#gone.signal);
          begun(true);
        }
      };
      this.#post({ verb: "hello", lock: mine, credential });
    });
  }

  /** Send the page's token to the worker, or nothing if it has become another user's. */
  async #give(id: number): Promise<void> {
    const token = this.#token === undefined ? undefined : await present(this.#token).catch(() => undefined);
    const mine = this.#credential;
    const same = token === undefined || (mine && "subject" in mine && mine.subject === subjectOf(token));
    this.#post({ verb: "token", id, token: same ? token : undefined });
    if (!same && !this.#gone.signal.aborted) this.#lost(true);
  }

  #ask(message: (id: number) => TabMessage, listener: (signal: PortSignal) => void): number {
    const id = ++this.#next;
    this.#listeners.set(id, listener);
    this.#post(message(id));
    return id;
  }

  #stop(id: number): void {
    if (this.#listeners.delete(id)) this.#post({ verb: "stop", id });
  }

  #post(message: TabMessage): void {
    this.#port.postMessage(message);
  }
}

async function credentialOf(token: Token | undefined, account: string | undefined): Promise<Credential | undefined> {
  if (token === undefined) return account ? { account } : undefined;
  const now = await present(token);
  return typeof token === "string" ? { token: now } : { subject: subjectOf(now) };
}
