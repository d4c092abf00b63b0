/**
 * Who uses this page.
 *
 * The hub knows by the browser's cookie, which no script can read, so it is asked. All tabs share the
 * cookie: when somebody signs in or out in one of them, the others notice and load again. What the
 * browser stores of a user is kept apart from what it stores of others.
 */

import type { Hub } from "../client/hub.js";
import type { LocalStore } from "./local-store.js";

export interface Method {
  readonly label: string;
  /** Where it begins, relative to the page; `null` for what begins elsewhere. */
  readonly url: string | null;
}

export interface Account {
  /** The user's name; `null` for somebody who has not signed in. */
  readonly user: string | null;
  /** Identifies the user, also among several tenants; empty for somebody without a name. */
  readonly subject: string;
  /** The browser has a session, which can be ended. */
  readonly session: boolean;
  /** They may do anything at all. */
  readonly allowed: boolean;
  /** What the names of their conversations begin with; `null` if they may begin none. */
  readonly folder: string | null;
  /** The stream in which the hub keeps the list of their conversations; `null` if it keeps none. */
  readonly conversations: string | null;
  /** They may make share links, which an application around the hub would not check. */
  readonly sharesByLink: boolean;
  /** How they could sign in. */
  readonly methods: readonly Method[];
}

/** The user of a hub without authentication. */
export const ANYBODY: Account = {
  user: null, subject: "", session: false, allowed: true, folder: "", conversations: null, sharesByLink: false, methods: [],
};

const NO_SESSION = ["header", "key", "token", "application"];
const PATIENCE = 10_000;
const KEY = "account";

/** Who uses the page, as the hub says; `undefined` if it does not answer. */
export async function askWho(hub: string): Promise<Account | undefined> {
  try {
    const answer = await fetch(new URL("v1/me", hub), { signal: AbortSignal.timeout(PATIENCE) });
    if (answer.status === 404) return ANYBODY; // Something in front of the hub hides it.
    return answer.ok ? accountOf((await answer.json()) as Told) : undefined;
  } catch {
    return undefined;
  }
}

interface Told {
  readonly user: string | null;
  readonly tenant: string | null;
  readonly signed_in: string | null;
  readonly allowed: boolean;
  readonly folder: string | null;
  readonly conversations?: string | null;
  readonly methods: readonly Method[];
}

function accountOf({ user, tenant, signed_in, allowed, folder, conversations = null, methods }: Told): Account {
  const parts = user === null ? [] : tenant === null ? [user] : [tenant, user];
  return {
    user,
    subject: parts.map(encodeURIComponent).join("/"),
    session: signed_in !== null && !NO_SESSION.includes(signed_in),
    allowed,
    folder,
    conversations,
    sharesByLink: user !== null && signed_in !== "application",
    methods,
  };
}

/**
 * End the session; returns where to sign out at the identity provider as well, `""` for nowhere, or
 * `undefined` if the hub has not ended it.
 */
export async function signOut(hub: string): Promise<string | undefined> {
  try {
    const answer = await fetch(new URL("v1/logout", hub), { method: "POST" });
    if (!answer.ok) return undefined;
    return answer.status === 204 ? "" : ((await answer.json()) as { readonly url: string }).url;
  } catch {
    return undefined;
  }
}

/** What the tabs of this browser know about who signed in last. */
export class LastAccount {
  constructor(private readonly store: LocalStore) {}

  /** The subject; empty after somebody has signed out, `undefined` if nobody ever signed in. */
  get subject(): string | undefined {
    const kept = this.store.get(KEY);
    if (typeof kept !== "object" || kept === null || !("subject" in kept)) return undefined;
    return typeof kept.subject === "string" ? kept.subject : undefined;
  }

  /** With the time, so that the other tabs notice also that the same user is back. */
  set(subject: string): void {
    this.store.set(KEY, { subject, at: Date.now() });
  }

  /** Call `changed` when another tab sets it. */
  watch(changed: () => void): void {
    this.store.watch(KEY, changed);
  }
}

/**
 * Call `changed` once, when the page's user is another one, or may do other things.
 *
 * The hub is asked when another tab says so, when the page is shown again, and when the connection
 * ends, as it does after a session.
 */
export function watchAccount(hub: Hub | undefined, root: string, mine: Account, last: LastAccount, changed: (now: Account) => void): void {
  let over = false;
  const check = async (): Promise<void> => {
    const now = over ? undefined : await askWho(root);
    if (over || !now || (now.subject === mine.subject && now.allowed === mine.allowed)) return;
    over = true;
    changed(now);
  };
  last.watch(() => void check());
  addEventListener("pageshow", (event) => {
    if (event.persisted) void check();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void check();
  });
  hub?.onStatus(({ state }) => {
    if (state === "offline" || state === "closed") void check();
  });
}
