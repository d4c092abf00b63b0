/**
 * What a reply cost and how fast it came, in a few words.
 *
 * The hub says the tokens and the seconds when the reply is over. Until then they are measured
 * here, from when its first words were seen, and tokens are guessed from the text; numbers that
 * are not the upstream's own carry a "≈".
 */

import type { Reply } from "../../client/state.js";

/** When a reply that comes now was first seen to say something, and how much it had said. */
export interface Seen {
  readonly at: number;
  readonly tokens: number;
}

/** Tokens in a text, roughly: four letters each, one for each character of denser scripts. */
export function guess(text: string): number {
  const dense = text.match(/[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]/g)?.length ?? 0;
  return Math.ceil((text.length - dense) / 4) + dense;
}

/** "≈ 120 tokens", "0.3 s to the first word", "41 tokens/s"; what is not known is left out. */
export function stats(reply: Reply, seen?: Seen, now = 0): string[] {
  const found: string[] = [];
  const said = reply.usage?.completion_tokens;
  const running = reply.state === "waiting" || reply.state === "running";
  const guessed = guess(reply.text) + guess(reply.reasoning);
  const tokens = said ?? guessed;
  const about = said === undefined || reply.usage?.estimated === true ? "≈ " : "";
  if (tokens > 0) found.push(`${about}${count(tokens)} ${tokens === 1 ? "token" : "tokens"}`);
  const { first, total } = reply.seconds ?? {};
  if (first !== undefined) found.push(`${seconds(first)} to the first word`);
  if (running && seen && now - seen.at >= 1000 && guessed > seen.tokens) {
    found.push(`≈ ${rate(guessed - seen.tokens, (now - seen.at) / 1000)}`);
  } else if (total !== undefined && first !== undefined && total - first >= 0.05 && tokens > 1) {
    found.push(`${about}${rate(tokens, total - first)}`);
  }
  return found;
}

/** "demo", "local · llama3": who answered. */
export function answered(reply: Reply): string {
  const { upstream, model } = reply;
  return model === undefined || model === upstream ? upstream : `${upstream} · ${model}`;
}

/** "< 0.01 s", "0.31 s", "4.2 s", "75 s". */
export function seconds(held: number): string {
  if (held < 0.005) return "< 0.01 s";
  return `${held < 1 ? held.toFixed(2) : held < 10 ? held.toFixed(1) : held.toFixed(0)} s`;
}

function rate(tokens: number, over: number): string {
  const held = tokens / over;
  return `${held < 10 ? held.toFixed(1) : count(Math.round(held))} tokens/s`;
}

function count(held: number): string {
  return held.toLocaleString("en");
}
