/**
 * The credential of a page: a token, or a function that returns one.
 *
 * A function is called before every connection and request, so that a page that has slept does not
 * come back with an old token, and once more when the hub refuses what it returned.
 */

import { HubError } from "../protocol/errors.js";
import { PATIENCE } from "../protocol/frames.js";

export type Token = string | (() => string | Promise<string>);

/** The token to present now; rejects with a `HubError` if there is none in time. */
export async function present(token: Token): Promise<string> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let cause: unknown;
  try {
    const late = new Promise<never>((_, reject) => { timer = setTimeout(() => { reject(new Error("it took too long")); }, PATIENCE); });
    const found: unknown = await Promise.race([typeof token === "string" ? token : token(), late]);
    // Anything else in a header could end it.
    if (typeof found === "string" && /^[\w.~+/-]+=*$/.test(found)) return found;
  } catch (error) {
    cause = error;
  } finally {
    clearTimeout(timer);
  }
  throw new HubError("token_unavailable", "The page has no valid token for the hub.", 0, { cause });
}

/**
 * Identifies whose token it is, and for what: the claims of a JSON Web Token except its times and its
 * id, or else the token itself. It is not verified: it only tells which tabs may share a connection.
 */
export function subjectOf(token: string): string {
  const claims = claimsOf(token);
  return claims ? JSON.stringify({ ...claims, exp: 0, iat: 0, nbf: 0, jti: 0 }) : token;
}

/**
 * Identifies whose token it is, for what a browser keeps for each of its users: a short digest, as
 * a token has no place in storage. Signing in once more does not change it.
 */
export function accountOf(token: string): string {
  const { iss, sub, ...more } = claimsOf(token) ?? {};
  if (sub === undefined) return digest(token);
  const tenants = Object.entries(more).filter(([name]) => /tenant|org|tid/i.test(name));
  return digest(JSON.stringify([iss, sub, ...tenants]));
}

function claimsOf(token: string): Record<string, unknown> | undefined {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const claims: unknown = JSON.parse(atob(payload));
    return typeof claims === "object" && claims !== null ? (claims as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** FNV-1a with 64 bits: it only has to differ, and what the browser has for this is not there without TLS. */
function digest(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
