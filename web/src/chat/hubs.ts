/**
 * The hubs that the elements of a page use, with one connection for each however many elements
 * there are. Elements with different tokens use different connections.
 */

import { connect, type Hub } from "../client/hub.js";
import type { Token } from "../client/token.js";

/** How long a hub with a token is kept for the next element, in milliseconds. */
const KEPT = 1_000;

/** What an element says about its hub; `src` may be relative to the page. */
export interface HubChoice {
  readonly hub?: Hub | undefined;
  readonly src?: string | null | undefined;
  readonly token?: Token | undefined;
}

class SharedHub {
  users = 0;

  constructor(
    readonly hub: Hub,
    readonly forget: () => void,
  ) {}
}

const hubs = new Map<string, Map<Token | undefined, SharedHub>>();

/** The hub of one element, which is closed after its last user if it was opened with a token. */
export class UsedHub {
  #shared: SharedHub | undefined;

  /** Use the hub that was given, or the one at a URL; without one, the script's own. */
  choose({ hub, src, token }: HubChoice): Hub {
    if (hub) {
      this.release();
      return hub;
    }
    const shared = sharedHub(src, token);
    shared.users++;
    this.release();
    this.#shared = shared;
    return shared.hub;
  }

  release(): void {
    const shared = this.#shared;
    this.#shared = undefined;
    if (!shared || --shared.users > 0) return;
    setTimeout(() => { if (shared.users === 0) shared.forget(); }, KEPT);
  }
}

/** The hub that served this script, which is the default for elements. */
export function ownHub(): string {
  return import.meta.url.replace(/[^/]*$/u, "");
}

function sharedHub(src: string | null | undefined, token: Token | undefined): SharedHub {
  const url = src ? new URL(src, document.baseURI).href : ownHub();
  const key = url.endsWith("/") ? url : `${url}/`;
  const here = hubs.get(key) ?? new Map<Token | undefined, SharedHub>();
  hubs.set(key, here);
  const known = here.get(token);
  // A closed hub does not reconnect, so make a new one.
  if (known !== undefined && known.hub.status.state !== "closed") return known;
  const hub = connect(key, { token });
  const shared = new SharedHub(hub, () => {
    if (token === undefined) return;
    hub.close();
    if (here.get(token) === shared) here.delete(token);
  });
  here.set(token, shared);
  return shared;
}
