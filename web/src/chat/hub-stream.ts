/**
 * `<hub-stream>`: the live text of one stream.
 *
 *     <script type="module" src="https://hub.example/elements.js"></script>
 *     <hub-stream stream="first"></hub-stream>
 *
 * Attributes: `stream`, its name; `src`, the hub's URL (by default the hub that served the
 * script); `from`, "start" (the default), "now" or a position; `format`, "markdown" (the default)
 * or "plain"; `quiet` hides the status line; `account`, whom a cookie of the page stands for, if
 * that is the credential: whatever names this user alone. The property `token` is the credential:
 * a token, or a function that returns one. It is no attribute, because everything in the page can
 * read those. The property `hub` takes a connected hub instead of `src` and `token`. Each reply
 * is a section, in order; the messages of people are left out.
 *
 * Events: `hub-state`, a CustomEvent with `{state}`, after each change; `hub-status` with `{status}`,
 * also when the hub refuses the token (state `closed`, with a code and a message). The custom
 * properties in ui/tokens.css and markdown/markdown.css style it; part names: `status`, `text`.
 *
 * Screen readers get complete paragraphs instead of single words, from a hidden live region.
 */

import { html, LitElement, nothing, unsafeCSS } from "lit";
import { repeat } from "lit/directives/repeat.js";

import type { Hub } from "../client/hub.js";
import type { Token } from "../client/token.js";
import markdown from "../markdown/markdown.css?inline";
import { type AssistantMessage, EMPTY, type State } from "../model/conversation.js";
import type { HubError } from "../protocol/errors.js";
import type { From } from "../protocol/events.js";
import type { Status } from "../protocol/frames.js";
import { register } from "../ui/light-element.js";
import tokens from "../ui/tokens.css?inline";
import { Announcer } from "./announcer.js";
import { ending } from "./assistant-message.js";
import { sentence } from "./error-notice.js";
import { type Format, growingText, type GrowingText } from "./growing-text.js";
import look from "./hub-stream.css?inline";
import { UsedHub } from "./hubs.js";

type Standing = "connecting" | "waiting" | "live" | "ended" | "failed" | "offline";

export class HubStream extends LitElement {
  static override styles = [tokens, markdown, look].map((sheet) => unsafeCSS(sheet));
  static override properties = {
    stream: { type: String, reflect: true },
    src: { type: String },
    from: { type: String },
    format: { type: String },
    quiet: { type: Boolean, reflect: true },
    token: { attribute: false },
    account: { type: String },
    hub: { attribute: false },
    state: { state: true },
    status: { state: true },
    waiting: { state: true },
    error: { state: true },
    spoken: { state: true },
  };

  declare stream: string | null;
  declare src: string | null;
  declare from: From | null;
  declare format: Format;
  declare quiet: boolean;
  declare token: Token | undefined;
  declare account: string | null;
  declare hub: Hub | undefined;
  declare protected state: State;
  declare protected status: Status;
  declare protected waiting: boolean;
  declare protected error: HubError | undefined;
  declare protected spoken: string;

  readonly #announcer = new Announcer((text) => (this.spoken = text));
  #texts = new Map<string, GrowingText>();
  #ends: (() => void)[] = [];
  readonly #used = new UsedHub();

  constructor() {
    super();
    this.stream = this.src = this.from = null;
    this.format = "markdown";
    this.quiet = false;
    this.#forget();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) this.#follow();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#leave();
    this.#used.release();
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    const asked = ["stream", "src", "from", "token", "account", "hub"].some((name) => changed.has(name));
    if (asked && this.isConnected) this.#follow();
    if (changed.has("format")) this.#texts = new Map();
  }

  protected override updated(): void {
    for (const reply of this.#replies()) this.#write(reply);
  }

  #forget(): void {
    this.#announcer.forget();
    this.state = EMPTY;
    this.status = { state: "connecting" };
    this.waiting = false;
    this.error = undefined;
    this.spoken = "";
    this.#texts = new Map();
  }

  #leave(): void {
    for (const end of this.#ends) end();
    this.#ends = [];
  }

  #follow(): void {
    this.#leave();
    this.#forget();
    if (!this.stream) return;
    const hub = this.#used.choose(this);
    const heard = (status: Status): void => {
      this.status = status;
      this.#tell("hub-status", { status });
    };
    this.#ends.push(hub.onStatus(heard));
    const more = {
      from: this.from ?? "start",
      waiting: () => (this.waiting = true),
      failed: (error: HubError) => (this.error = error),
    };
    const changed = (state: State): void => {
      this.#update(state);
    };
    this.#ends.push(hub.conversation(this.stream, changed, more));
  }

  #update(state: State): void {
    this.state = state;
    this.waiting = false;
    this.#announcer.update(state);
    this.#tell("hub-state", { state });
  }

  #tell(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #replies(): readonly AssistantMessage[] {
    return this.state.turns.filter((turn) => turn.kind === "reply");
  }

  #write(reply: AssistantMessage): void {
    const key = this.#key(reply);
    let text = this.#texts.get(key);
    if (text === undefined) {
      const host = this.renderRoot.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
      if (host === null) return;
      host.replaceChildren();
      text = growingText(this.format, host);
      this.#texts.set(key, text);
    }
    text.set(reply.text, reply.state !== "waiting" && reply.state !== "running");
  }

  /** The format is part of the key, so that changing it renders the text anew. */
  #key(reply: AssistantMessage): string {
    return `${this.format} ${reply.generation}`;
  }

  #standing(): readonly [Standing, string] {
    const { status, error } = this;
    if (error !== undefined) return ["failed", sentence(error.message)];
    if (!this.stream) return ["failed", "No stream is given."];
    if (this.state.closed) return ["ended", "Ended"];
    if (status.state === "closed") return ["failed", status.message];
    if (status.state === "offline") return ["offline", "Offline; it reconnects by itself"];
    if (status.state === "connecting") return ["connecting", "Connecting…"];
    return this.waiting ? ["waiting", "Waiting for the stream to start"] : ["live", "Live"];
  }

  protected override render(): unknown {
    const [standing, words] = this.#standing();
    const status = html`<div class="status ${standing}" part="status" role="status">${words}</div>`;
    return html`
      ${this.quiet ? nothing : status}
      <div part="text" role="log" aria-live="off" aria-label=${this.stream ?? "Stream"}>
        ${repeat(this.#replies(), (reply) => this.#key(reply), (reply) => this.#section(reply))}
      </div>
      <div class="spoken" aria-live="polite">${this.spoken}</div>
    `;
  }

  #section(reply: AssistantMessage): unknown {
    const end = ending(reply);
    const words = end === undefined ? nothing : html`<p class="ending ${end.kind}">${end.text}</p>`;
    return html`<section><div data-key=${this.#key(reply)}></div>${words}</section>`;
  }
}

register("hub-stream", HubStream);

declare global {
  interface HTMLElementTagNameMap {
    "hub-stream": HubStream;
  }
}
