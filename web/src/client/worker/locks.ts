/** Locks that show who is alive: they are held until their owner dies, however that happens. */

/** Acquire a lock; resolves to a function that releases it. */
export function hold(name: string): Promise<() => void> {
  return new Promise((held, failed) => {
    navigator.locks.request(name, () => new Promise<void>((release) => { held(release); })).catch(failed);
  });
}

/** Call `gone` when the holder of a lock is gone. */
export function outlive(name: string, gone: () => void, signal: AbortSignal): void {
  // After an abort it is rejected, for which nobody waits.
  navigator.locks.request(name, { signal }, gone).catch(() => undefined);
}
