/**
 * Where a link goes: only to the web or to a mailbox, and always said in so many letters.
 *
 * What a model wrote is no reason to trust an address. A relative one would point into the page
 * that shows it, a script or a document of its own would run as that page, and a name before an
 * "@" makes one host look like another: all these go nowhere.
 */

export interface Target {
  readonly href: string;
  /** The host, or the mailbox, in ASCII: what the eye must be able to check. */
  readonly host: string;
}

const SCHEME = /^(?:https?:\/\/|mailto:)/i;

/** Gives null for what must not be followed. */
export function target(href: string): Target | null {
  if (!SCHEME.test(href) || !URL.canParse(href)) return null;
  const url = new URL(href);
  if (url.protocol === "mailto:") {
    return url.pathname === "" ? null : { href: `mailto:${url.pathname}`, host: url.pathname };
  }
  if (url.username !== "" || url.password !== "" || url.host === "") return null;
  return { href: url.href, host: url.host };
}

/** Whether a link's text says its host already, so that it need not be said again. */
export function says(text: string, host: string): boolean {
  const spoken = text.trim().toLowerCase().replace(/^(?:https?:\/\/|mailto:)/, "");
  return spoken === host || (spoken.startsWith(host) && "/?#".includes(spoken.charAt(host.length)));
}
