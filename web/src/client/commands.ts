/**
 * What a page asks of the hub, over HTTP: each has one effect, however often it must be tried.
 */

import { HubError } from "../protocol/errors.js";
import type { HubEvent, Position } from "../protocol/events.js";
import { backoff } from "./backoff.js";
import { unique } from "./unique.js";

const TRIES = 4;
const PATIENCE = 30_000;

/** These pass by themselves: the hub restarts, or a proxy in front of it misses it. */
const PASSING = [0, 502, 503, 504];

export interface Ask {
  readonly stream?: string;
  readonly prompt?: string;
  readonly messages?: readonly Record<string, unknown>[];
  readonly upstream?: string;
  readonly model?: string;
  readonly author?: string;
  /** Idempotency key; one is made if none is given, so that a retried request has one effect. */
  readonly key?: string;
  readonly options?: Record<string, unknown>;
}

export class Commands {
  readonly #url: string;
  readonly #producers = new Map<string, Producer>();

  constructor(url: string) {
    this.#url = url;
  }

  async generate({ key = unique(), ...ask }: Ask): Promise<{ generation: string; stream: string }> {
    const answer = await this.#ask("POST", "v1/generations", { "Idempotency-Key": key }, ask);
    const { id, stream } = (await answer.json()) as { id: string; stream: string };
    return { generation: id, stream };
  }

  async cancel(generation: string): Promise<void> {
    await this.#ask("DELETE", `v1/generations/${encodeURIComponent(generation)}`);
  }

  append(stream: string, event: HubEvent | Record<string, unknown>): Promise<Position> {
    let producer = this.#producers.get(stream);
    if (!producer) this.#producers.set(stream, (producer = new Producer()));
    return producer.next(async (stamp) => {
      const path = streamPath(stream);
      let answer: Response;
      try {
        answer = await this.#ask("POST", path, stamp, event);
      } catch (error) {
        if (!(error instanceof HubError) || error.code !== "stream_not_found") throw error;
        await this.#ask("PUT", path, { "Content-Type": "application/json" });
        answer = await this.#ask("POST", path, stamp, event);
      }
      return answer.headers.get("Stream-Next-Offset") ?? "";
    });
  }

  async fork(stream: string, source: string, position?: Position): Promise<void> {
    await this.#ask("PUT", streamPath(stream), {
      "Stream-Forked-From": new URL(streamPath(source), this.#url).pathname,
      ...(position !== undefined && { "Stream-Fork-Offset": position }),
    });
  }

  async models(): Promise<readonly string[]> {
    const answer = await this.#ask("GET", "v1/models");
    const { data } = (await answer.json()) as { data: { id: string }[] };
    return data.map(({ id }) => id);
  }

  async #ask(method: string, path: string, headers: Record<string, string> = {}, body?: unknown): Promise<Response> {
    const init: RequestInit = { method, headers };
    if (body !== undefined) {
      init.headers = { "Content-Type": "application/json", ...headers };
      init.body = JSON.stringify(body);
    }
    for (let failures = 0; ; failures++) {
      try {
        return await request(this.#url + path, { ...init, signal: AbortSignal.timeout(PATIENCE) });
      } catch (error) {
        const passing = error instanceof HubError && PASSING.includes(error.status);
        if (!passing || failures + 1 >= TRIES) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, backoff(failures)));
    }
  }
}

/** One request; what is no success is a `HubError`. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, init);
  } catch {
    throw new HubError("unreachable", "The hub cannot be reached.");
  }
  if (answer.ok) return answer;
  let body: { error?: { code?: string; message?: string } } | undefined;
  try {
    body = (await answer.json()) as typeof body;
  } catch {
    // It comes from a proxy, or was cut off: the status is all that is known.
  }
  const { code = `http_${answer.status}`, message = `The hub answered ${answer.status}.` } = body?.error ?? {};
  throw new HubError(code, message, answer.status);
}

/** The path of a stream, below the hub's. */
function streamPath(stream: string): string {
  return `v1/stream/${escaped(stream)}`;
}

/** A stream's name in a path. */
export function escaped(stream: string): string {
  return stream.split("/").map(encodeURIComponent).join("/");
}

/** The idempotent producer of one stream: its appends go one after another, numbered. */
class Producer {
  #id = unique();
  #number = 0;
  #last: Promise<unknown> = Promise.resolve();

  next<T>(append: (stamp: Record<string, string>) => Promise<T>): Promise<T> {
    const mine = this.#last.then(async () => {
      const stamp = { "Producer-Id": this.#id, "Producer-Epoch": "0", "Producer-Seq": String(this.#number) };
      try {
        const done = await append(stamp);
        this.#number++;
        return done;
      } catch (error) {
        // Whether it was written is not known, so the next may neither repeat nor follow it.
        this.#id = unique();
        this.#number = 0;
        throw error;
      }
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
