/**
 * The hubs that the elements of a page use, with one connection for each however many elements
 * there are. Elements with different tokens or accounts use different connections.
 */

import { connect, type Hub } from "../client/hub.js";
import type { Token } from "../client/token.js";

/** How long a hub with a token or an account is kept for the next element, in milliseconds. */
const KEPT = 1_000;

/** What an element says about its hub; `src` may be relative to the page. */
export interface HubChoice {
  readonly hub?: Hub | undefined;
  readonly src?: string | null | undefined;
  readonly token?: Token | undefined;
  /** Whom a cookie of the page stands for, where there is no token. */
  readonly account?: string | null | undefined;
}

/** The credential of a hub: a token, or whom a cookie stands for. */
interface Whose {
  readonly token: Token | undefined;
  readonly account: string | undefined;
}

class SharedHub {
  users = 0;

  constructor(
    readonly hub: Hub,
    readonly forget: () => void,
  ) {}
}

/** By the URL, and by the token or, after an "@" that no token begins with, the account. */
const hubs = new Map<string, Map<Token | undefined, SharedHub>>();

/** The hub of one element, which is closed after its last user if it was opened with a token. */
export class UsedHub {
  #shared: SharedHub | undefined;

  /** Use the hub that was given, or the one at a URL; without one, the script's own. */
  choose({ hub, src, token, account }: HubChoice): Hub {
    if (hub) {
      this.release();
      return hub;
    }
    const shared = sharedHub(src, { token, account: account ?? undefined });
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

function sharedHub(src: string | null | undefined, { token, account }: Whose): SharedHub {
  const url = src ? new URL(src, document.baseURI).href : ownHub();
  const key = url.endsWith("/") ? url : `${url}/`;
  const here = hubs.get(key) ?? new Map<Token | undefined, SharedHub>();
  hubs.set(key, here);
  const whose = token ?? (account && `@${account}`);
  const known = here.get(whose);
  // A closed hub does not reconnect, so make a new one.
  if (known !== undefined && known.hub.status.state !== "closed") return known;
  const hub = connect(key, { token, account });
  const shared = new SharedHub(hub, () => {
    if (!whose) return;
    hub.close();
    if (here.get(whose) === shared) here.delete(whose);
  });
  here.set(whose, shared);
  return shared;
}
