/**
 * Keeps track of running replies in conversations of the list that no tab shows.
 *
 * The page that shows a conversation records in the list that a reply is running, but it may be
 * gone before the reply ends. So the hub is asked about running replies now and then, a few at a
 * time, while the page is visible.
 */

import type { Hub } from "../client/hub.js";
import type { ConversationList } from "./conversation-list.js";

const EVERY_MS = 5000;
const AT_ONCE = 5;

/** While the hub cannot be reached it is not asked, which would only log errors. */
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
      // Another reply may have started in the meantime.
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
    return false; // Offline, or no hub: the state is unknown.
  }
}
