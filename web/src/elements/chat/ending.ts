/** How a reply ended, or why it says nothing yet, in plain words. */

import type { Reply } from "../../client/state.js";

export interface Ending {
  readonly kind: "quiet" | "error";
  readonly text: string;
  readonly code?: string;
}

/** After this long without a word the reader is told how long it has been. */
export const PATIENCE = 10_000;

/** What is to be said below a reply that is over; nothing if it just ended well. */
export function ending(reply: Reply): Ending | undefined {
  switch (reply.state) {
    case "cancelled":
      return { kind: "quiet", text: "Stopped." };
    case "interrupted":
      return { kind: "error", text: "The hub went away in the middle of this answer." };
    case "failed":
      return {
        kind: "error",
        text: sentence(reply.error?.message ?? "The answer failed"),
        ...(reply.error && { code: reply.error.code }),
      };
    case "finished":
      return finished(reply);
    default:
      return undefined;
  }
}

function finished(reply: Reply): Ending | undefined {
  if (reply.reason === "length") return { kind: "quiet", text: "The answer reached its length limit." };
  if (reply.reason === "filter") return { kind: "quiet", text: "The answer was ended by a content filter." };
  if (reply.reason === "tool") return { kind: "quiet", text: "The model waits for what the tool says." };
  if (reply.text === "" && reply.tools.length === 0) return { kind: "quiet", text: "The answer is empty." };
  return undefined;
}

/** Why a reply that is not over stands still, `since` milliseconds after its last word; nothing while it comes. */
export function silence(reply: Reply, since: number, connected: boolean): string | undefined {
  if (reply.retrying) {
    const left = Math.ceil(reply.retrying.after - since / 1000);
    return `${sentence(reply.retrying.message)} Trying again${left > 0 ? ` in ${left} s` : ""}.`;
  }
  if (!connected) return "Not connected; the answer goes on at the hub and is caught up later.";
  if (since < PATIENCE) return undefined;
  const long = since < 120_000 ? `${Math.floor(since / 1000)} s` : `${Math.floor(since / 60_000)} minutes`;
  return reply.state === "waiting" ? `Waiting for the first word, ${long} so far.` : `Nothing new for ${long}.`;
}

/** With a capital and a full stop, as people write. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?…。]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
