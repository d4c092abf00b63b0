/** A name that nobody else has. `crypto.randomUUID` is missing where a page is not served securely. */
export function unique(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
}
