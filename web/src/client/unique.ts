/** A unique name. `crypto.randomUUID` does not exist outside secure contexts. */
export function unique(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
}
