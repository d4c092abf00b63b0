/** The prompts that wait for their turn in a stream, as its events tell. */

import type { HubEvent } from "../protocol/events.js";

export interface QueuedPrompt {
  readonly generation: string;
  readonly text: string;
  readonly author?: string;
}

export interface Queue {
  /** The next one first. */
  readonly prompts: readonly QueuedPrompt[];
  /** They wait until somebody sends one, because the last reply did not finish. */
  readonly held: boolean;
}

/** A hub lets far fewer wait; whoever writes the events of a stream themselves might not. */
const MOST = 1000;

export const NO_QUEUE: Queue = { prompts: [], held: false };

/** The queue of `stream` after one more event. */
export function queueAfter(queue: Queue, data: Partial<HubEvent> & { readonly held?: unknown }, stream: string | undefined): Queue {
  if (data.type === "queued") {
    // A fork has the events of its source, whose prompts do not wait in it.
    return stream && data.stream !== stream ? queue : { ...queue, prompts: put(queue.prompts, data) };
  }
  const leaves = data.type === "started" || data.type === "dropped";
  if (!leaves && data.held !== true) return queue;
  const prompts = leaves ? queue.prompts.filter(({ generation }) => generation !== data.generation) : queue.prompts;
  return { prompts, held: prompts.length > 0 && (data.held === true || (queue.held && data.type !== "started")) };
}

function put(
  prompts: readonly QueuedPrompt[],
  { generation, text, author, place }: { generation?: unknown; text?: unknown; author?: unknown; place?: unknown },
): readonly QueuedPrompt[] {
  if (typeof generation !== "string" || typeof text !== "string") return prompts;
  const others = prompts.filter((one) => one.generation !== generation);
  if (others.length >= MOST) return prompts;
  const one = { generation, text, ...(typeof author === "string" && { author }) };
  return others.toSpliced(typeof place === "number" ? place - 1 : others.length, 0, one);
}
