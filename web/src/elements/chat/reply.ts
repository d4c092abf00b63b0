/**
 * What a model answers: its reasoning, folded; its text; the tools it asks for; how it ended.
 *
 * Nothing here waits in silence: a reply that says nothing for a while says how long it has
 * been, from a clock that ticks once a second while the reply runs and not at all afterwards.
 */

import { html, nothing } from "lit";
import { createRef, ref } from "lit/directives/ref.js";

import type { Reply } from "../../client/state.js";
import { StreamingMarkdown } from "../markdown.js";
import { ending, silence } from "./ending.js";
import { icon } from "./icons.js";
import { Light, register } from "./light.js";
import { answered, guess, seconds, type Seen, stats } from "./stats.js";
import "./copier.js";
import "./tools.js";

const TICK = 1000;

export class ReplyView extends Light {
  static override properties = {
    reply: { attribute: false },
    again: { type: Boolean },
    retry: { type: Boolean },
    connected: { type: Boolean },
    busy: { type: Boolean },
    now: { state: true },
  };

  declare reply: Reply | undefined;
  /** Another version of it may be asked for. */
  declare again: boolean;
  /** It may be tried again where it stands. */
  declare retry: boolean;
  declare connected: boolean;
  /** The hub is being asked. */
  declare busy: boolean;
  declare now: number;

  // Held, because to look for them would be to look through the whole answer.
  readonly #words = createRef<HTMLElement>();
  readonly #details = createRef<HTMLDetailsElement>();
  readonly #thoughtsHost = createRef<HTMLElement>();
  #text: StreamingMarkdown | undefined;
  #reasoning: StreamingMarkdown | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;
  /** When something came last. */
  #heard = 0;
  #seen: Seen | undefined;
  #thinking: number | undefined;
  #thought: number | undefined;

  constructor() {
    super();
    this.again = false;
    this.retry = false;
    this.connected = true;
    this.busy = false;
    this.now = performance.now();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#tick(false);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.reply) this.#tick(this.#running);
  }

  get #running(): boolean {
    return this.reply?.state === "waiting" || this.reply?.state === "running";
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (!changed.has("reply") || !this.reply) return;
    this.#measure(this.reply, changed.get("reply") as Reply | undefined);
    this.#tick(this.#running);
  }

  /** Times that the hub does not tell, as they are seen here. */
  #measure(reply: Reply, before: Reply | undefined): void {
    const now = performance.now();
    if (!before) this.#heard = now - age(reply);
    else this.#heard = now;
    this.now = now;
    if (!this.#running) return;
    const tokens = guess(reply.text) + guess(reply.reasoning);
    if (tokens > 0) this.#seen ??= { at: now, tokens };
    // Only what was seen from its beginning can be timed.
    if (reply.reasoning && !reply.text && before?.reasoning === "") this.#thinking ??= now;
    if (reply.text && this.#thinking !== undefined) this.#thought ??= now - this.#thinking;
  }

  #tick(running: boolean): void {
    if (running === (this.#clock !== undefined)) return;
    if (running) this.#clock = setInterval(() => (this.now = performance.now()), TICK);
    else {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
  }

  protected override render(): unknown {
    const { reply } = this;
    if (!reply) return nothing;
    return html`<article class="reply" aria-label="Answer" aria-busy=${this.#running}>
      ${reply.reasoning ? this.#thoughts(reply) : nothing}
      ${reply.refusal ? html`<p class="badge">The model declined</p>` : nothing}
      <div class="text" ${ref(this.#words)}></div>
      ${reply.tools.length > 0 ? html`<hub-tools .calls=${reply.tools}></hub-tools>` : nothing}
      ${this.#running ? this.#waiting(reply) : this.#end(reply)}
      <div class="actions">
        <span class="stats">${this.#stats(reply)}</span>
        ${this.#running ? nothing : this.#buttons(reply)}
      </div>
    </article>`;
  }

  #thoughts(reply: Reply): unknown {
    const thinking = this.#running && !reply.text;
    const label = thinking
      ? "Thinking…"
      : this.#thought === undefined
        ? "Thoughts"
        : `Thought for ${seconds(Math.max(1, Math.round(this.#thought / 1000)))}`;
    return html`<details class="reasoning" ${ref(this.#details)} @toggle=${() => {
        this.requestUpdate();
      }}>
      <summary class=${thinking ? "busy" : ""}>${icon("on")}${label}</summary>
      <div class="thoughts" ${ref(this.#thoughtsHost)}></div>
    </details>`;
  }

  /** A calm sign that it goes on; in words when it stands still. */
  #waiting(reply: Reply): unknown {
    const why = silence(reply, this.now - this.#heard, this.connected);
    return html`<p class="waiting">
      <span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>${why ? html`<span>${why}</span>` : nothing}
    </p>`;
  }

  #end(reply: Reply): unknown {
    const end = ending(reply);
    if (!end && !this.retry) return nothing;
    return html`<div class=${`ending ${end?.kind ?? "quiet"}`}>
      ${end?.kind === "error" ? icon("warning") : nothing}
      <p>${end?.text} ${end?.code ? html`<code>${end.code}</code>` : nothing}</p>
      ${this.retry
        ? html`<button class="plain" type="button" ?disabled=${this.busy} @click=${() => {
            this.tell("retry", { reply });
          }}>Retry</button>`
        : nothing}
    </div>`;
  }

  #buttons(reply: Reply): unknown {
    return html`<span class="hover">
      ${reply.text ? html`<hub-copy what="this answer" .text=${reply.text}></hub-copy>` : nothing}
      ${this.again
        ? html`<button class="tiny" type="button" aria-label="Answer again" title="Answer again, in another version"
            ?disabled=${this.busy} @click=${() => {
              this.tell("again", { reply });
            }}>${icon("again")}</button>`
        : nothing}
    </span>`;
  }

  #stats(reply: Reply): string {
    const parts = stats(reply, this.#seen, this.#heard);
    return [answered(reply), ...parts].filter(Boolean).join(" · ");
  }

  protected override updated(): void {
    const { reply } = this;
    if (!reply) return;
    const host = this.#words.value;
    if (host && (reply.text || this.#text)) {
      this.#text ??= new StreamingMarkdown(host);
      this.#text.set(reply.text, !this.#running);
    }
    this.#think(reply);
  }

  /** Thoughts are laid out only while the reader looks at them. */
  #think(reply: Reply): void {
    const host = this.#thoughtsHost.value;
    if (!this.#details.value?.open || !host) return;
    this.#reasoning ??= new StreamingMarkdown(host);
    this.#reasoning.set(reply.reasoning, !this.#running);
  }
}

/** For how long a reply has run that is seen for the first time; clocks that disagree do not count. */
function age({ startedAt }: Reply): number {
  const held = startedAt === undefined ? 0 : Date.now() - Date.parse(startedAt);
  return held > 0 && held < 3_600_000 ? held : 0;
}

register("hub-reply", ReplyView);
