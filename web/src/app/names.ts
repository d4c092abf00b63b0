/**
 * Names of conversations.
 *
 * Without authentication, whoever knows the name of a conversation can read it and write to it, so a
 * new one gets a name that nobody can guess: 128 random bits. With it, the name begins with the folder
 * in which its user may begin conversations. `crypto.randomUUID` does not exist outside secure
 * contexts (plain HTTP on a local network), unlike `getRandomValues`.
 */

// The hub's rule: segments of unreserved characters that are not empty or start with a dot.
const NAME = /^[\w~:@+-][\w.~:@+-]*(?:\/[\w~:@+-][\w.~:@+-]*)*$/;
// The hub's limit is configurable; this one only rejects nonsense.
const LONGEST = 1000;

export function isName(text: string): boolean {
  return text.length <= LONGEST && NAME.test(text) && text.split("/")[0] !== "__ds";
}

export function newName(folder = ""): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `${folder}chat-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
