/**
 * What a screen reader is told of a reply that comes: finished paragraphs, each once.
 *
 * A live region that changed with every token would be read out again and again, so the visible
 * text is not live; whole paragraphs, without their Markdown, are given to a hidden region
 * instead. What was there when the reader came is history and not announced.
 */

import type { AssistantMessage, State } from "../model/conversation.js";
import { ending } from "./assistant-message.js";

/** What one announcement may hold; nobody waits for more to be read. */
const LONGEST = 600;
const LOOKED_AT = 4 * LONGEST;

export class Announcer {
  #generation = "";
  /** So much of the text is told or history; less than nothing when all is. */
  #spoken = 0;
  #isNew = true;

  constructor(private readonly say: (text: string) => void) {}

  /** The reader comes to another conversation. */
  forget(): void {
    this.#isNew = true;
  }

  /** Look at the conversation after a change. */
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
    // Of a paragraph without end no more is looked at than can be said.
    const text = spoken(reply.text.slice(this.#spoken, Math.min(end, this.#spoken + LOOKED_AT)));
    this.#spoken = end;
    if (text) this.say(text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text);
  }
}

/** Markdown as one would read it out: without its marks. */
export function spoken(markdown: string): string {
  return markdown
    .replace(/^\s*(```|~~~).*$/gm, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^\s{0,3}(#{1,6}|>|[-*+]|\d+[.)])\s+/gm, "")
    .replace(/[*_`|]+/g, " ")
    .replace(/\s+/g, " ")
    .trim();
}
