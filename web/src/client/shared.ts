/**
 * The tab's side of a connection that all tabs of a page share: a port to their worker.
 *
 * Neither side is told when the other dies, so each holds a lock for as long as it lives.
 */

import type { From } from "./events.js";
import type { Told } from "./follower.js";
import type { Member, Presence } from "./hub.js";
import { HubError } from "./hub.js";
import { hold, outlive } from "./locks.js";
import type { Answered, Asked, Words } from "./ports.js";
import { ACKNOWLEDGED, WORKER } from "./ports.js";
import type { Source, ToldStatus } from "./source.js";
import { unique } from "./unique.js";

/** How long the worker may take to answer. */
const PATIENCE = 2_000;

export class Shared implements Source {
  readonly #port: MessagePort;
  readonly #told = new Map<number, (words: Words) => void>();
  readonly #gone = new AbortController();
  #release: (() => void) | undefined;
  #next = 0;

  private constructor(port: MessagePort) {
    this.#port = port;
  }

  /**
   * The shared connection to a hub; `undefined` where there can be none: no such workers or
   * locks, a page of another origin, a worker that does not answer. `lost` is called if it dies.
   */
  static async open(url: string, told: ToldStatus, lost: () => void): Promise<Shared | undefined> {
    if (!("SharedWorker" in globalThis) || !("locks" in navigator)) return undefined;
    try {
      const worker = new SharedWorker(`${url}client-worker.js`, { type: "module", name: WORKER });
      const shared = new Shared(worker.port);
      if (await shared.#begin(worker, told, lost)) return shared;
      shared.close();
    } catch {
      // The page is of another origin, or its policy forbids workers.
    }
    return undefined;
  }

  follow(stream: string, from: From, told: Told): () => void {
    let place = from;
    let taken = 0;
    const id = this.#ask((id) => ({ verb: "follow", id, stream, from: place }), (words) => {
      switch (words.name) {
        case "placed":
          place = words.told;
          told.placed?.(place);
          break;
        case "items":
          place = words.told.at(-1)?.position ?? place;
          if (++taken % ACKNOWLEDGED === 0) this.#say({ verb: "taken", id });
          told.items(words.told);
          break;
        case "reset":
          place = words.told[0];
          told.reset?.(...words.told);
          break;
        case "lag":
          told.lag?.(words.told);
          break;
        case "failed":
          this.#told.delete(id);
          told.failed?.(new HubError(words.told.code, words.told.message, words.told.status));
          break;
        case "behind":
          taken = 0;
          this.#say({ verb: "follow", id, stream, from: place });
          break;
        case "closed":
          this.#told.delete(id);
          told.closed?.();
          break;
        case "waiting":
          told.waiting?.();
      }
    });
    return () => { this.#stop(id); };
  }

  presence(stream: string, state: unknown, changed: (members: readonly Member[]) => void): Presence {
    const id = this.#ask((id) => ({ verb: "presence", id, stream, state }), (words) => {
      if (words.name === "members") changed(words.told);
    });
    return {
      set: (now) => { this.#say({ verb: "set", id, state: now }); },
      leave: () => { this.#stop(id); },
    };
  }

  retry(): void {
    this.#say({ verb: "retry" });
  }

  offline(): void {
    this.#say({ verb: "offline" });
  }

  close(): void {
    this.#gone.abort();
    this.#told.clear();
    this.#say({ verb: "bye" });
    this.#port.close();
    this.#release?.();
  }

  async #begin(worker: SharedWorker, told: ToldStatus, lost: () => void): Promise<boolean> {
    const mine = unique();
    this.#release = await hold(mine);
    return new Promise((begun) => {
      setTimeout(() => { begun(false); }, PATIENCE);
      worker.onerror = () => { begun(false); };
      this.#port.onmessage = ({ data }: MessageEvent<Answered>) => {
        if (this.#gone.signal.aborted) return;
        if ("status" in data) told(data.status);
        else if ("id" in data) this.#told.get(data.id)?.(data);
        else {
          outlive(data.lock, lost, this.#gone.signal);
          begun(true);
        }
      };
      this.#say({ verb: "hello", lock: mine });
    });
  }

  #ask(asked: (id: number) => Asked, told: (words: Words) => void): number {
    const id = ++this.#next;
    this.#told.set(id, told);
    this.#say(asked(id));
    return id;
  }

  #stop(id: number): void {
    if (this.#told.delete(id)) this.#say({ verb: "stop", id });
  }

  #say(asked: Asked): void {
    this.#port.postMessage(asked);
  }
}
