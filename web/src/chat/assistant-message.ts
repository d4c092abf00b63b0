/**
 * A reply of a model: its reasoning (folded), its text, tool calls, media and sources, and how it ended.
 *
 * If nothing arrives for a while, it shows for how long, with a timer that runs once a second
 * until the reply ends.
 */

import { html, nothing } from "lit";
import { createRef, ref } from "lit/directives/ref.js";

import { StreamingMarkdown } from "../markdown/stream.js";
import type { Versions } from "../model/branches.js";
import type { AssistantMessage } from "../model/conversation.js";
import * as icons from "../ui/icons.js";
import { LightElement, register } from "../ui/light-element.js";
import { sentence } from "./error-notice.js";
import { mediaOf, sourcesOf } from "./reply-extras.js";
import { switcher } from "./version-switcher.js";
import "../ui/buttons.js";
import "./tool-calls.js";

const TICK = 1000;

/** After this many milliseconds of silence its length is shown. */
const PATIENCE = 10_000;

export class AssistantMessageView extends LightElement {
  static override properties = {
    reply: { attribute: false },
    versions: { attribute: false },
    again: { type: Boolean },
    retry: { type: Boolean },
    connected: { type: Boolean },
    busy: { type: Boolean },
    now: { state: true },
  };

  declare reply: AssistantMessage | undefined;
  declare versions: Versions | undefined;
  /** The reply can be regenerated. */
  declare again: boolean;
  /** The reply broke off, and can be tried again. */
  declare retry: boolean;
  declare connected: boolean;
  /** A request to the hub is pending. */
  declare busy: boolean;
  declare now: number;

  // References, because searching for the elements would walk through the whole reply.
  readonly #words = createRef<HTMLElement>();
  readonly #details = createRef<HTMLDetailsElement>();
  readonly #thoughtsHost = createRef<HTMLElement>();
  #text: StreamingMarkdown | undefined;
  #reasoning: StreamingMarkdown | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;
  /** When the last text arrived. */
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
    this.#measure(this.reply, changed.get("reply") as AssistantMessage | undefined);
    this.#tick(this.#running);
  }

  /** Measure the times that the hub does not report. */
  #measure(reply: AssistantMessage, before: AssistantMessage | undefined): void {
    const now = performance.now();
    if (!before) this.#heard = now - age(reply);
    else this.#heard = now;
    this.now = now;
    if (!this.#running) return;
    const tokens = guess(reply.text) + guess(reply.reasoning);
    if (tokens > 0) this.#seen ??= { at: now, tokens };
    // Only what was observed from its start can be timed.
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
      ${reply.media ? mediaOf(reply.media, this.#running) : nothing}
      ${reply.sources?.length ? sourcesOf(reply.sources) : nothing}
      ${this.#running ? this.#waiting(reply) : this.#end(reply)}
      <div class="actions">
        <span class="stats">${this.#stats(reply)}</span>
        ${switcher(this.versions, "this answer", (choice) => { this.tell("version", choice); })}
        ${this.#running ? nothing : this.#buttons(reply)}
      </div>
    </article>`;
  }

  #thoughts(reply: AssistantMessage): unknown {
    const thinking = this.#running && !reply.text;
    const label = thinking
      ? "Thinking…"
      : this.#thought === undefined
        ? "Thoughts"
        : `Thought for ${seconds(Math.max(1, Math.round(this.#thought / 1000)))}`;
    return html`<details class="reasoning" ${ref(this.#details)} @toggle=${() => {
        this.requestUpdate();
      }}>
      <summary class=${thinking ? "busy" : ""}>${icons.on()}${label}</summary>
      <div class="thoughts" ${ref(this.#thoughtsHost)}></div>
    </details>`;
  }

  /** A quiet sign of progress, or the reason for a pause. */
  #waiting(reply: AssistantMessage): unknown {
    const why = silence(reply, this.now - this.#heard, this.connected);
    return html`<p class="waiting">
      <span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>${why ? html`<span>${why}</span>` : nothing}
    </p>`;
  }

  #end(reply: AssistantMessage): unknown {
    const end = ending(reply);
    if (!end && !this.retry) return nothing;
    return html`<div class=${`ending ${end?.kind ?? "quiet"}`}>
      ${end?.kind === "error" ? icons.warning() : nothing}
      <p>${end?.text} ${end?.code ? html`<code>${end.code}</code>` : nothing}</p>
      ${this.retry
        ? html`<button class="plain" type="button" ?disabled=${this.busy} @click=${() => {
            this.tell("again", { reply });
          }}>Retry</button>`
        : nothing}
    </div>`;
  }

  #buttons(reply: AssistantMessage): unknown {
    return html`<span class="hover">
      ${reply.text ? html`<hub-copy what="this answer" .text=${reply.text}></hub-copy>` : nothing}
      ${this.again
        ? html`<button class="tiny" type="button" aria-label="Answer again" title="Answer again, in another version"
            ?disabled=${this.busy} @click=${() => {
              this.tell("again", { reply });
            }}>${icons.again()}</button>`
        : nothing}
    </span>`;
  }

  #stats(reply: AssistantMessage): string {
    const parts = stats(reply, this.#seen, this.#heard);
    return [answeredBy(reply), ...parts].filter(Boolean).join(" · ");
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

  /** Render the reasoning only while it is open. */
  #think(reply: AssistantMessage): void {
    const host = this.#thoughtsHost.value;
    if (!this.#details.value?.open || !host) return;
    this.#reasoning ??= new StreamingMarkdown(host);
    this.#reasoning.set(reply.reasoning, !this.#running);
  }
}

/** How long a newly seen reply has been running, ignoring clocks that disagree. */
function age({ startedAt }: AssistantMessage): number {
  const held = startedAt === undefined ? 0 : Date.now() - Date.parse(startedAt);
  return held > 0 && held < 3_600_000 ? held : 0;
}

register("hub-reply", AssistantMessageView);

// How it ended, or why nothing arrives

export interface Ending {
  readonly kind: "quiet" | "error";
  readonly text: string;
  readonly code?: string;
}

/** The message below a reply that has ended; none if it ended normally. */
export function ending(reply: AssistantMessage): Ending | undefined {
  switch (reply.state) {
    case "cancelled":
      return { kind: "quiet", text: "Stopped." };
    case "interrupted":
      return { kind: "error", text: "The hub stopped in the middle of this answer." };
    case "failed":
      return {
        kind: "error",
        text: sentence(reply.error?.message ?? "The answer failed"),
        ...(reply.error && { code: reply.error.code }),
      };
    case "finished":
      return finished(reply);
    default:
      return undefined;
  }
}

function finished(reply: AssistantMessage): Ending | undefined {
  if (reply.reason === "length") return { kind: "quiet", text: "The answer reached its length limit." };
  if (reply.reason === "filter") return { kind: "quiet", text: "A content filter ended the answer." };
  if (reply.reason === "tool") return { kind: "quiet", text: "The model is waiting for the result of the tool." };
  if (reply.text === "" && reply.tools.length === 0 && !reply.media) return { kind: "quiet", text: "The answer is empty." };
  return undefined;
}

/** Why a running reply pauses, `since` milliseconds after its last text; nothing while text arrives. */
export function silence(reply: AssistantMessage, since: number, connected: boolean): string | undefined {
  if (reply.retrying) {
    const left = Math.ceil(reply.retrying.after - since / 1000);
    return `${sentence(reply.retrying.message)} Trying again${left > 0 ? ` in ${left} s` : ""}.`;
  }
  if (!connected) return "Not connected. The answer continues on the hub and will appear here later.";
  if (since < PATIENCE) return undefined;
  const long = since < 120_000 ? `${Math.floor(since / 1000)} s` : `${Math.floor(since / 60_000)} minutes`;
  return reply.state === "waiting" ? `Waiting for the first word, ${long} so far.` : `Nothing new for ${long}.`;
}

// Tokens and speed
//
// The hub reports tokens and seconds when the reply has ended. Until then the time is measured here,
// from the first text that was seen, and tokens are estimated from the text. Numbers that are not
// the upstream's own have a "≈".

/** When text of a running reply was first seen, and how much there was. */
export interface Seen {
  readonly at: number;
  readonly tokens: number;
}

/** A rough estimate of tokens: four letters each, or one character of a denser script. */
export function guess(text: string): number {
  const dense = text.match(/[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]/g)?.length ?? 0;
  return Math.ceil((text.length - dense) / 4) + dense;
}

/** "≈ 120 tokens", "0.3 s to the first word", "41 tokens/s", as far as known. */
export function stats(reply: AssistantMessage, seen?: Seen, now = 0): string[] {
  const found: string[] = [];
  const counted = reply.usage?.completion_tokens;
  const running = reply.state === "waiting" || reply.state === "running";
  const guessed = guess(reply.text) + guess(reply.reasoning);
  const tokens = counted ?? guessed;
  const about = counted === undefined || reply.usage?.estimated === true ? "≈ " : "";
  if (tokens > 0) found.push(`${about}${count(tokens)} ${tokens === 1 ? "token" : "tokens"}`);
  const { first, total } = reply.seconds ?? {};
  if (first !== undefined) found.push(`${seconds(first)} to the first word`);
  if (running && seen && now - seen.at >= 1000 && guessed > seen.tokens) {
    found.push(`≈ ${rate(guessed - seen.tokens, (now - seen.at) / 1000)}`);
  } else if (total !== undefined && first !== undefined && total - first >= 0.05 && tokens > 1) {
    found.push(`${about}${rate(tokens, total - first)}`);
  }
  return found;
}

/** The upstream and model of a reply: "demo", "local · llama3". */
export function answeredBy(reply: AssistantMessage): string {
  const { upstream, model } = reply;
  return model === undefined || model === upstream ? upstream : `${upstream} · ${model}`;
}

/** "< 0.01 s", "0.31 s", "4.2 s", "75 s". */
function seconds(held: number): string {
  if (held < 0.005) return "< 0.01 s";
  return `${held < 1 ? held.toFixed(2) : held < 10 ? held.toFixed(1) : held.toFixed(0)} s`;
}

function rate(tokens: number, over: number): string {
  const held = tokens / over;
  return `${held < 10 ? held.toFixed(1) : count(Math.round(held))} tokens/s`;
}

function count(held: number): string {
  return held.toLocaleString("en");
}
