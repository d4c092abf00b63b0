/** The title of a conversation: its first message. */

import type { ChatMessage, State } from "./conversation.js";

export const UNTITLED = "New conversation";
const LONGEST = 60;

/**
 * It stays when that is edited. In a fork it is the first message of its own, because the ones before
 * are its source's, too.
 */
export function titleOf(state: State): string | undefined {
  const left = state.branches.find((branch) => branch.from !== undefined)?.position ?? "";
  const asked = state.all.filter(
    (turn): turn is ChatMessage => turn.kind === "message" && turn.role === "user",
  );
  const first = asked.find((turn) => turn.before >= left) ?? asked[0] ?? state.all[0];
  return first && (shortened(first.text) || undefined);
}

/** One line of at most 60 characters, cut between words if possible. */
export function shortened(text: string): string {
  const line = text
    .slice(0, LONGEST * 20)
    // Control characters, and those that change the direction of the text around it.
    .replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]+/gu, " ")
    .replace(/\s+/g, " ")
    .trim();
  const characters = Array.from(new Intl.Segmenter().segment(line), (piece) => piece.segment);
  if (characters.length <= LONGEST) return line;
  const cut = characters.slice(0, LONGEST - 1).join("");
  const space = cut.lastIndexOf(" ");
  return `${(space > LONGEST / 2 ? cut.slice(0, space) : cut).trimEnd()}…`;
}

/** The title of the browser's tab. */
export function documentTitle(title: string, running: boolean): string {
  return `${running ? "● " : ""}${title} – Streamhub`;
}
