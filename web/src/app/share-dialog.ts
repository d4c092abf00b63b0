/** The dialog in which a conversation's share links are made, copied and revoked. */

import { html, nothing, type TemplateResult } from "lit";

import { copyOrShow } from "../ui/clipboard.js";
import { showDialog } from "../ui/dialogs.js";
import * as icons from "../ui/icons.js";
import { LightElement, register } from "../ui/light-element.js";
import { type ShareLink, ShareLinks } from "./share-links.js";

const DAY = 86_400;
const LASTS = [
  { label: "For a day", seconds: DAY },
  { label: "For a week", seconds: 7 * DAY },
  { label: "For 30 days", seconds: 30 * DAY },
  { label: "Until it is revoked", seconds: 0 },
];

/** `branch` is the one that is shown, if it is not the one that the conversation is on. */
export async function showShareLinks(hub: string, stream: string, branch: string | undefined): Promise<void> {
  const links = new ShareLinks(hub, stream);
  await showDialog("Share by link", () => html`<share-links .links=${links} .branch=${branch}></share-links>`);
}

export class ShareLinksElement extends LightElement {
  static override properties = {
    links: { attribute: false },
    branch: { attribute: false },
    known: { state: true },
    made: { state: true },
    failed: { state: true },
    busy: { state: true },
  };

  declare links: ShareLinks;
  declare branch: string | undefined;
  /** The links that work; `undefined` until the hub has told them. */
  declare known: readonly ShareLink[] | undefined;
  /** The address of the link that was just made. */
  declare made: string | undefined;
  declare failed: string | undefined;
  declare busy: boolean;

  constructor() {
    super();
    this.busy = false;
  }

  protected override firstUpdated(): void {
    void this.#do(() => Promise.resolve());
  }

  /** Do something and ask for the links again. */
  async #do(what: () => Promise<void>): Promise<void> {
    this.busy = true;
    this.failed = undefined;
    try {
      await what();
      this.known = await this.links.list();
    } catch (error) {
      this.failed = error instanceof Error ? error.message : String(error);
    }
    this.busy = false;
  }

  readonly #create = (event: SubmitEvent): void => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement);
    const seconds = Number(given.get("lasts"));
    void this.#do(async () => {
      this.made = await this.links.create({ live: given.get("shows") === "live", lasts: seconds || undefined, branch: this.branch });
    });
  };

  protected override render(): TemplateResult {
    return html`<p class="hint">Whoever has the link can read this conversation, without an account, and nothing more.</p>
      <form @submit=${this.#create}>
        <fieldset class="options">
          <legend class="unseen">What it shows</legend>
          <label class="switch"><input type="radio" name="shows" value="now" checked />As it is now</label>
          <label class="switch"><input type="radio" name="shows" value="live" />Live: also what comes</label>
        </fieldset>
        <label>It works
          <select name="lasts">
            ${LASTS.map(({ label, seconds }) => html`<option value=${seconds} ?selected=${seconds === 7 * DAY}>${label}</option>`)}
          </select>
        </label>
        <footer><button class="primary" ?disabled=${this.busy}>Create link</button></footer>
      </form>
      ${this.made ? this.#fresh(this.made) : nothing}
      ${this.failed ? html`<p role="alert">It was not done: ${this.failed}</p>` : nothing}
      ${this.#list()}`;
  }

  #fresh(made: string): TemplateResult {
    const chosen = (event: Event): void => {
      (event.target as HTMLInputElement).select();
    };
    return html`<div class="made">
      <label>The link, which is shown only now
        <input readonly aria-label="Link" .value=${made} @focus=${chosen} /></label>
      <button type="button" class="plain" @click=${() => void copyOrShow(made, "Link")}>Copy</button>
    </div>`;
  }

  #list(): TemplateResult | typeof nothing {
    if (!this.known?.length) return nothing;
    const newest = [...this.known].sort((one, other) => other.created_at.localeCompare(one.created_at));
    return html`<h3>Links that work</h3>
      <ul class="links">
        ${newest.map((link) => html`<li>
          <span>${link.until === "live" ? "Live" : "As it was"}, ${whose(link)}${day(link.created_at)}${link.expires_at ? html`, until ${day(link.expires_at)}` : nothing}</span>
          <button type="button" class="quiet" aria-label="Revoke this link" title="Revoke" ?disabled=${this.busy}
            @click=${() => void this.#do(() => this.#revoke(link.id))}>${icons.trash()}</button>
        </li>`)}
      </ul>`;
  }

  async #revoke(id: string): Promise<void> {
    await this.links.revoke(id);
    // It may be the link that was just made.
    this.made = undefined;
  }
}

const whose = ({ created_by: by }: ShareLink): string => (by === null ? "" : `by ${by}, `);

const day = (at: string): string => new Date(at).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });

register("share-links", ShareLinksElement);

declare global {
  interface HTMLElementTagNameMap {
    "share-links": ShareLinksElement;
  }
}
