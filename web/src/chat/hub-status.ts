/**
 * `<hub-status>`: the status of the connection in words.
 *
 * Connecting, live, catching up, offline with a countdown and a button, or closed with the reason.
 * Properties: `hub` (a Hub), `lag` (records still to come, 0 when live).
 *
 * Screen readers only get the state; an announced countdown would drown out everything else.
 */

import { html, LitElement, nothing, unsafeCSS } from "lit";

import type { Hub } from "../client/hub.js";
import type { Status } from "../protocol/frames.js";
import { register } from "../ui/light-element.js";
import tokens from "../ui/tokens.css?inline";
import look from "./hub-status.css?inline";

const TICK = 500;

export class HubStatus extends LitElement {
  static override properties = {
    hub: { attribute: false },
    lag: { type: Number },
    status: { state: true },
    now: { state: true },
  };

  static override styles = [tokens, look].map((sheet) => unsafeCSS(sheet));

  declare hub: Hub | undefined;
  declare lag: number;
  declare status: Status;
  declare now: number;
  #end: (() => void) | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    this.lag = 0;
    this.status = { state: "connecting" };
    this.now = Date.now();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#listen();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#end?.();
    this.#end = undefined;
    this.#tick(false);
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("hub") && this.isConnected) this.#listen();
  }

  #listen(): void {
    this.#end?.();
    this.#end = this.hub?.onStatus((status) => {
      this.status = status;
      this.now = Date.now();
      this.#tick(status.state === "offline");
    });
  }

  #tick(counting: boolean): void {
    clearInterval(this.#clock);
    this.#clock = counting ? setInterval(() => (this.now = Date.now()), TICK) : undefined;
  }

  protected override render(): unknown {
    const { status } = this;
    const kind = status.state === "live" && this.lag > 0 ? "behind" : status.state;
    return html`<span class=${`dot ${kind}`} aria-hidden="true"></span>
      <span role="status">${statusText(status, this.lag > 0)}</span>${this.#more(status)}`;
  }

  #more(status: Status): unknown {
    if (status.state === "live" && this.lag > 0) return html`<span aria-hidden="true">· ${count(this.lag)}<span class="more"> to go</span></span>`;
    if (status.state !== "offline") return nothing;
    const left = Math.max(0, Math.ceil((status.retryAt - this.now) / 1000));
    return html`<span aria-hidden="true" title=${status.why}>· ${left > 0 ? html`<span class="more">trying again in </span>${left} s` : "trying now…"}</span>
      <button type="button" aria-label="Try to connect now" @click=${() => this.hub?.retry()}>now</button>`;
  }
}

/** The state in a few words. */
export function statusText(status: Status, behind: boolean): string {
  switch (status.state) {
    case "connecting":
      return "Connecting…";
    case "live":
      return behind ? "Catching up" : "Live";
    case "offline":
      return "Offline";
    case "closed":
      return `Closed: ${status.message}`;
  }
}

function count(records: number): string {
  return records.toLocaleString("en");
}

register("hub-status", HubStatus);

declare global {
  interface HTMLElementTagNameMap {
    "hub-status": HubStatus;
  }
}
