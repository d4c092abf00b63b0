/** The hub's share links: its answers to `/v1/shares`, as the page uses them. */

export interface ShareLink {
  readonly id: string;
  readonly title: string | null;
  /** `live`, or the position up to which it shows the conversation. */
  readonly until: string;
  readonly created_by: string | null;
  readonly created_at: string;
  readonly expires_at: string | null;
}

export interface NewLink {
  readonly live: boolean;
  /** In seconds; `undefined`: it does not expire. */
  readonly lasts: number | undefined;
  /** The branch to show, if it is not the one that the conversation is on. */
  readonly branch?: string | undefined;
}

/** Why something was not done, in words. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** The links of one conversation at the hub with this URL. */
export class ShareLinks {
  constructor(
    private readonly hub: string,
    private readonly stream: string,
  ) {}

  /** The links that work; all of them, as a conversation has few. */
  async list(): Promise<readonly ShareLink[]> {
    const query = new URLSearchParams({ stream: this.stream, limit: "1000" });
    return ((await this.#ask("GET", `v1/shares?${query.toString()}`)) as { shares: ShareLink[] }).shares;
  }

  /** The whole address of a new link. */
  async create({ live, lasts, branch }: NewLink): Promise<string> {
    const body = { stream: this.stream, until: live ? "live" : "now", expires_in: lasts };
    const { url } = (await this.#ask("POST", "v1/shares", body)) as { url: string };
    // Only its last part: a proxy may have stripped a prefix that the hub does not know of.
    return new URL(`s/${url.split("/").at(-1) ?? ""}${branch ? `#${branch}` : ""}`, this.hub).href;
  }

  async revoke(id: string): Promise<void> {
    await this.#ask("DELETE", `v1/shares/${encodeURIComponent(id)}`);
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    let answer: Response;
    try {
      answer = await fetch(new URL(path, this.hub), {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
      });
    } catch {
      throw new Refused("unreachable", "the hub cannot be reached");
    }
    if (answer.status === 204) return undefined;
    const held = (await answer.json().catch(() => ({}))) as { error?: { code?: string; message?: string } };
    if (answer.ok) return held;
    const { code = "", message = `the hub responded with status ${answer.status}` } = held.error ?? {};
    throw new Refused(code, message);
  }
}
