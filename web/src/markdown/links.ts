/**
 * Decides where links may lead: only to the web or to a mailbox, with the target visible.
 *
 * A model's output is no reason to trust a URL. A relative URL would lead into the page that shows
 * it, a `javascript:` or `data:` URL would run as that page, and a name before an "@" makes one
 * host look like another. None of these is a link.
 */

export interface Target {
  readonly href: string;
  /** The host or the mailbox in ASCII, for the user to check. */
  readonly host: string;
}

const SCHEME = /^(?:https?:\/\/|mailto:)/i;

/** The target of a link; null if it must not be followed. */
export function target(href: string): Target | null {
  if (!SCHEME.test(href) || !URL.canParse(href)) return null;
  const url = new URL(href);
  if (url.protocol === "mailto:") {
    return url.pathname === "" ? null : { href: `mailto:${url.pathname}`, host: url.pathname };
  }
  if (url.username !== "" || url.password !== "" || url.host === "") return null;
  return { href: url.href, host: url.host };
}

/** Whether a link's text already contains its host, so that it need not be repeated. */
export function says(text: string, host: string): boolean {
  const spoken = text.trim().toLowerCase().replace(/^(?:https?:\/\/|mailto:)/, "");
  return spoken === host || (spoken.startsWith(host) && "/?#".includes(spoken.charAt(host.length)));
}
