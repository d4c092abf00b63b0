/**
 * Announces an arriving reply to screen readers: each paragraph once, when it is complete.
 *
 * A live region that changed with every token would be read out again and again, so the visible
 * text is not live. Instead a hidden region gets whole paragraphs, without their Markdown. Text
 * from before the conversation was opened is not announced.
 */

import type { AssistantMessage, State } from "../model/conversation.js";
import { ending } from "./assistant-message.js";

/** The most characters of an announcement; nobody listens to more. */
const LONGEST = 600;
const LOOKED_AT = 4 * LONGEST;

export class Announcer {
  #generation = "";
  /** How many characters are announced or old; negative if all are. */
  #spoken = 0;
  #isNew = true;

  constructor(private readonly say: (text: string) => void) {}

  /** Start with another conversation. */
  forget(): void {
    this.#isNew = true;
  }

  /** Announce what is new after a change. */
  update(state: State): void {
    const isNew = this.#isNew;
    this.#isNew = false;
    const reply = state.turns.findLast((turn) => turn.kind === "reply");
    if (!reply) return;
    const over = reply.state !== "waiting" && reply.state !== "running";
    if (reply.generation !== this.#generation || isNew) {
      this.#generation = reply.generation;
      this.#spoken = isNew ? reply.text.length : 0;
      if (isNew && over) this.#spoken = -1;
      if (!over) this.say("Answering.");
    }
    if (this.#spoken < 0) return;
    this.#paragraphs(reply, over);
    if (over) {
      this.#spoken = -1;
      this.say(ending(reply)?.text ?? "The answer is complete.");
    }
  }

  #paragraphs(reply: AssistantMessage, over: boolean): void {
    const end = over ? reply.text.length : reply.text.lastIndexOf("\n\n");
    if (end <= this.#spoken) return;
    // Of an endless paragraph, only as much is read as can be announced.
    const text = spoken(reply.text.slice(this.#spoken, Math.min(end, this.#spoken + LOOKED_AT)));
    this.#spoken = end;
    if (text) this.say(text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text);
  }
}

/** Markdown as one would read it out, without its marks. */
export function spoken(markdown: string): string {
  return markdown
    .replace(/^\s*(```|~~~).*$/gm, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^\s{0,3}(#{1,6}|>|[-*+]|\d+[.)])\s+/gm, "")
    .replace(/[*_`|]+/g, " ")
    .replace(/\s+/g, " ")
    .trim();
}
