/**
 * Following as an async iterable. What waits to be taken is bounded: beyond that the stream is
 * let go, and followed on from there when all that waited was taken.
 */

import type { From, Item, Position } from "./events.js";
import type { Handlers, HubError, Told } from "./hub.js";

const WAITING = 1024;

type Follow = (from: From, handlers: Handlers) => () => void;

export async function* iteration(follow: Follow, from: From, signal?: AbortSignal): AsyncGenerator<Item | Told> {
  let queue: (Item | Told)[] = [];
  let place = from;
  let over = signal?.aborted ?? false;
  let failed: HubError | undefined;
  let stop: (() => void) | undefined;
  let wake = (): void => undefined;
  const take = (told: readonly (Item | Told)[], position?: Position): void => {
    queue.push(...told);
    place = position ?? place;
    if (queue.length > WAITING) {
      stop?.();
      stop = undefined;
    }
    wake();
  };
  const end = (error?: HubError): void => {
    over = true;
    failed = error;
    wake();
  };
  const handlers: Handlers = {
    items: (items) => { take(items, items.at(-1)?.position); },
    reset: (position, reason) => { take([{ reset: { position, reason } }], position); },
    closed: () => {
      take([{ closed: true }]);
      end();
    },
    failed: end,
  };
  const abort = (): void => {
    queue = [];
    end();
  };
  signal?.addEventListener("abort", abort);
  try {
    for (;;) {
      const taken = queue;
      queue = [];
      for (const told of taken) {
        if (signal?.aborted) return;
        yield told;
      }
      if (queue.length) continue;
      if (failed) throw failed;
      if (over) return;
      stop ??= follow(place, handlers);
      await new Promise<void>((resolve) => { wake = resolve; });
    }
  } finally {
    stop?.();
    signal?.removeEventListener("abort", abort);
  }
}
