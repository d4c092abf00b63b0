/** Locks that say who lives: they are held until their owner dies, however that comes about. */

/** Hold a lock from now on; gives what lets go of it, once it is held. */
export function hold(name: string): Promise<() => void> {
  return new Promise((held, failed) => {
    navigator.locks.request(name, () => new Promise<void>((release) => { held(release); })).catch(failed);
  });
}

/** Be told when the holder of a lock is gone. */
export function outlive(name: string, gone: () => void, signal: AbortSignal): void {
  // Aborted, it is refused; nobody waits for that.
  navigator.locks.request(name, { signal }, gone).catch(() => undefined);
}
