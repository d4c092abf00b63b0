/** Names a user in the keys of what the browser keeps for each. */

import { present, subjectOf, type Token } from "../client/token.js";

/** What tells an element who uses it. */
interface Whose {
  readonly token: Token | undefined;
  readonly account: string | undefined;
}

/** The name of an element's user, or "" if there is none; rejects if a function returns no token. */
export function accountOf({ token, account }: Whose): string | Promise<string> {
  if (token === undefined) return account ? digest(account) : "";
  return typeof token === "string" ? named(token) : present(token).then(named);
}

/**
 * A short digest, because a token has no place in storage. Of a JSON Web Token only the subject
 * counts, and who says so: signing in once more does not change it.
 */
function named(token: string): string {
  return digest(subject(token));
}

function subject(token: string): string {
  try {
    const { iss, sub, ...more } = JSON.parse(subjectOf(token)) as Record<string, unknown>;
    const tenants = Object.entries(more).filter(([name]) => /tenant|org|tid/i.test(name));
    if (sub !== undefined) return JSON.stringify([iss, sub, ...tenants]);
  } catch {
    // It is another kind of token.
  }
  return token;
}

/** FNV-1a with 64 bits: it only has to differ, and what the browser has for this is not there without TLS. */
function digest(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
