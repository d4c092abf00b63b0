/**
 * The hubs that the elements of a page use, with one connection for each however many elements
 * there are.
 */

import { connect, type Hub } from "../client/hub.js";

const hubs = new Map<string, Hub>();

/** The hub that served this script, which is the default for elements. */
export function ownHub(): string {
  return import.meta.url.replace(/[^/]*$/u, "");
}

/** The hub at a URL, which may be relative to the page; without one, the script's own. */
export function hubFor(src?: string | null): Hub {
  const url = src ? new URL(src, document.baseURI).href : ownHub();
  const key = url.endsWith("/") ? url : `${url}/`;
  const known = hubs.get(key);
  // A closed hub does not reconnect, so make a new one.
  if (known !== undefined && known.status.state !== "closed") return known;
  const hub = connect(key);
  hubs.set(key, hub);
  return hub;
}
