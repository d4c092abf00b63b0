/**
 * Which conversations of the list are being answered, although nobody here looks at them.
 *
 * The page that shows a conversation knows when its answer begins, and says so in the list. It
 * may be gone before the answer ends; so whatever is said to run is asked after now and then,
 * a few at a time, while somebody can see the page.
 */

import type { Hub } from "../client/hub.js";
import type { ConversationList } from "./conversation-list.js";

const EVERY_MS = 5000;
const AT_ONCE = 5;

/** A hub that cannot be reached is not asked: that would be errors in the console and nothing else. */
export function watchRunning(list: ConversationList, hub: Hub, current: () => string | undefined): void {
  setInterval(() => {
    if (document.visibilityState === "visible" && hub.status.state === "live") void askAfter(list, hub.url, current());
  }, EVERY_MS);
}

export async function askAfter(list: ConversationList, hub: string, current: string | undefined): Promise<void> {
  const unseen = list.entries.filter((entry) => entry.running && entry.name !== current);
  await Promise.all(
    unseen.slice(0, AT_ONCE).map(async ({ name, running = "" }) => {
      const over = await ended(hub, running);
      // It may have been answered anew in the meantime.
      if (over && list.find(name)?.running === running) list.put(name, { running: undefined });
    }),
  );
}

async function ended(hub: string, generation: string): Promise<boolean> {
  try {
    const answer = await fetch(new URL(`v1/generations/${encodeURIComponent(generation)}`, hub));
    if (answer.status === 404) return true;
    const held = (await answer.json()) as { state?: unknown; ended_at?: unknown };
    return answer.ok && held.ended_at !== undefined;
  } catch {
    return false; // Offline, or no hub: nothing is known.
  }
}
