/**
 * Names of conversations.
 *
 * Whoever knows the name of a conversation can read it and write to it, so a new one gets a
 * name that nobody guesses: 122 random bits. `crypto.randomUUID` is missing where the page is
 * no secure context (plain HTTP on a local network); `getRandomValues` is there everywhere.
 */

// As the hub has it: unreserved characters in segments, none empty, none that begins with a dot.
const NAME = /^[\w~:@+-][\w.~:@+-]*(?:\/[\w~:@+-][\w.~:@+-]*)*$/;
// The hub's own limit is in its configuration; this one only keeps nonsense out of the page.
const LONGEST = 1000;

export function isName(text: string): boolean {
  return text.length <= LONGEST && NAME.test(text) && text.split("/")[0] !== "__ds";
}

export function newName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `chat-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
