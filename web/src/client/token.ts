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
    const late = new Promise<never>((_, reject) => { timer = setTimeout(() => { reject(new Error("too late")); }, PATIENCE); });
    const found: unknown = await Promise.race([typeof token === "string" ? token : token(), late]);
    // Anything else in a header could end it.
    if (typeof found === "string" && /^[\w.~+/-]+=*$/.test(found)) return found;
  } catch (error) {
    cause = error;
  } finally {
    clearTimeout(timer);
  }
  throw new HubError("token_unavailable", "The page has no valid token.", 0, { cause });
}

/**
 * Identifies whose token it is, and for what: the claims of a JSON Web Token except its times and its
 * id, or else the token itself. It is not verified: it only tells which tabs may share a connection.
 */
export function subjectOf(token: string): string {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(atob(payload)) as Record<string, unknown>;
    return JSON.stringify({ ...claims, exp: 0, iat: 0, nbf: 0, jti: 0 });
  } catch {
    return token;
  }
}
