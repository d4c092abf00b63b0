/** Fakes of what the tabs of a browser share: locks that end with their holder, and a shared worker. */

import { vi } from "vitest";

import { Host } from "../../src/client/worker/host.js";
import { URL_OF_HUB } from "./fake-server.js";

/** One end of a channel; messages are cloned and arrive a moment later. */
export class FakePort {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  /** A frozen page receives nothing until it thaws. */
  frozen = false;
  sent = 0;
  taken = 0;
  readonly waiting: unknown[] = [];
  other!: FakePort;
  #closed = false;

  postMessage(message: unknown): void {
    if (this.#closed) return;
    this.sent++;
    const data = structuredClone(message);
    setTimeout(() => { this.other.take(data); }, 1);
  }

  take(data: unknown): void {
    if (this.frozen) this.waiting.push(data);
    else if (!this.#closed) {
      this.taken++;
      this.onmessage?.({ data });
    }
  }

  thaw(): void {
    this.frozen = false;
    for (const data of this.waiting.splice(0)) this.take(data);
  }

  close(): void {
    this.#closed = true;
  }
}

interface Request {
  readonly held: () => unknown;
  readonly failed: (error: unknown) => void;
}

export class FakeBrowser {
  /** The worker: none, one that never responds, or one that works. */
  worker: "works" | "silent" | "forbidden" = "works";
  host: Host | undefined;
  readonly ports: FakePort[] = [];
  readonly #locks = new Map<string, Request[]>();

  constructor() {
    vi.stubGlobal("navigator", { locks: { request: (...asked: unknown[]) => this.#request(...asked) } });
    const worker = (): { port: FakePort } => {
      if (this.worker === "forbidden") throw new DOMException("another origin", "SecurityError");
      const [tab, served] = [new FakePort(), new FakePort()];
      [tab.other, served.other] = [served, tab];
      this.ports.push(tab);
      if (this.worker === "works") (this.host ??= new Host(URL_OF_HUB)).serve(served as unknown as MessagePort);
      return { port: tab };
    };
    vi.stubGlobal("SharedWorker", function () {
      return worker();
    });
  }

  /** The holder of a lock dies. */
  free(name: string | undefined): void {
    const [, ...rest] = this.#locks.get(name ?? "") ?? [];
    this.#locks.set(name ?? "", rest);
    rest[0]?.held();
  }

  /** The locks that are held, oldest first. */
  get held(): string[] {
    return [...this.#locks].filter(([, requests]) => requests.length).map(([name]) => name);
  }

  #request(...asked: unknown[]): Promise<unknown> {
    const name = asked[0] as string;
    const held = asked.at(-1) as () => unknown;
    const { signal } = (asked.length > 2 ? asked[1] : {}) as { signal?: AbortSignal };
    const queue = this.#locks.get(name) ?? [];
    this.#locks.set(name, queue);
    return new Promise((done, failed) => {
      const request: Request = {
        held: () => {
          void Promise.resolve(held()).then((value) => {
            if (this.#locks.get(name)?.[0] === request) this.free(name);
            done(value);
          });
        },
        failed,
      };
      queue.push(request);
      signal?.addEventListener("abort", () => {
        const queue = this.#locks.get(name) ?? [];
        // A lock that is held already stays held.
        if (queue[0] === request) return;
        this.#locks.set(name, queue.filter((one) => one !== request));
        failed(new DOMException("it was aborted", "AbortError"));
      });
      if (queue.length === 1) request.held();
    });
  }
}
