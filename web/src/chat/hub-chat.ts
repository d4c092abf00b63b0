/**
 * `<hub-chat>`: a conversation with its composer, for the hub's own page and for any other.
 *
 *     <script type="module" src="https://hub.example/elements.js"></script>
 *     <hub-chat stream="chat/7"></hub-chat>
 *
 * Attributes: `src` (the hub's URL; by default the script's), `stream` (the conversation; without
 * one the first message starts a new one), `readonly`, `upstream` (by default the hub's default),
 * `no-status` (the page shows the connection itself), `branch` (what to show of a conversation that
 * has several: the position of a turn; by default what this browser showed last), `account` (whom a
 * cookie of the page stands for, if that is the credential: whatever names this user alone).
 * Properties: `token`, the credential, which is a token or a function that returns one (no
 * attribute, because everything in the page can read those); `hub`, an existing `Hub`, instead of `src` and `token`. It fills the height that it is
 * given.
 *
 * Methods: `send(text)`, `stop()`, `focusComposer()`.
 *
 * Events, bubbling and composed: `hub-state` {state}, `hub-status` {status, lag}, `hub-sent`
 * {text}, and, cancelable, `hub-fork` {source, stream, position, arrival} when the user goes to
 * a version that is a conversation of its own. Unless the page prevents it, the element goes there itself.
 * A page that uses another element for it passes on the `arrival`, to restore the scroll position.
 *
 * Slots: `tools` in the composer's bar, `empty` while there are no messages.
 *
 * Custom properties: those of ui/tokens.css.
 *
 * How it works: the hub's client folds the stream into a `State` that shares everything that did
 * not change. The newest state is rendered at most once a frame, and only those of its turns that
 * are different objects than before.
 */

import { html, LitElement, nothing, unsafeCSS } from "lit";
import { createRef, ref } from "lit/directives/ref.js";

import type { Hub } from "../client/hub.js";
import type { Token } from "../client/token.js";
import { unique } from "../client/unique.js";
import markdown from "../markdown/markdown.css?inline";
import type { Versions } from "../model/branches.js";
import { type AssistantMessage, type ChatMessage, EMPTY } from "../model/conversation.js";
import type { Status } from "../protocol/frames.js";
import * as icons from "../ui/icons.js";
import { register } from "../ui/light-element.js";
import tokens from "../ui/tokens.css?inline";
import { accountOf } from "./account.js";
import { Announcer } from "./announcer.js";
import type { Composer } from "./composer.js";
import { ChatController } from "./controller.js";
import controls from "./controls.css?inline";
import { sentence } from "./error-notice.js";
import { UsedHub } from "./hubs.js";
import layout from "./layout.css?inline";
import { LiveConversation } from "./live-conversation.js";
import { presenceText } from "./presence.js";
import type { QueueRequest } from "./prompt-queue.js";
import { restoreScroll, scrollPlace, type ScrollRestore } from "./scroll-restore.js";
import { Scrolling } from "./scrolling.js";
import turns from "./turns.css?inline";
import type { VersionChoice } from "./version-switcher.js";
import "./composer.js";
import "./prompt-queue.js";
import "./hub-status.js";
import "./turns.js";

/** How many announcements the live region keeps; screen readers have read the older ones. */
const ANNOUNCED = 4;
const NONE: ReadonlyMap<string, Versions> = new Map();

export class HubChat extends LitElement {
  static override properties = {
    src: {},
    stream: { reflect: true },
    readonly: { type: Boolean, reflect: true },
    upstream: {},
    branch: {},
    noStatus: { type: Boolean, attribute: "no-status" },
    token: { attribute: false },
    account: {},
    hub: { attribute: false },
    arrival: { attribute: false },
    status: { state: true },
  };

  static override styles = [tokens, markdown, layout, controls, turns].map((sheet) => unsafeCSS(sheet));

  declare src: string | undefined;
  declare stream: string | undefined;
  declare readonly: boolean;
  declare upstream: string | undefined;
  declare branch: string | undefined;
  declare noStatus: boolean;
  declare token: Token | undefined;
  declare account: string | undefined;
  declare hub: Hub | undefined;
  declare arrival: ScrollRestore | undefined;
  declare status: Status;

  // References, because searching for the elements would walk through the whole conversation.
  readonly #log = createRef<HTMLElement>();
  readonly #turns = createRef<HTMLElement>();
  readonly #announced = createRef<HTMLElement>();
  readonly #composer = createRef<Composer>();
  readonly #used = new UsedHub();
  #hub: Hub | undefined;
  /** Whose drafts and unsent prompts are used, once that is known. */
  #whose: string | undefined;
  /** The conversation is entered then. */
  #entering: Promise<void> | undefined;
  #conversation: LiveConversation | undefined;
  #controller: ChatController | undefined;
  #scrolling: Scrolling | undefined;
  #endStatus: (() => void) | undefined;
  readonly #announcer = new Announcer((text) => {
    this.#say(text);
  });

  constructor() {
    super();
    this.readonly = false;
    this.noStatus = false;
    this.status = { state: "connecting" };
    this.addEventListener("keydown", this.#pressed);
  }

  /** Send a message; returns whether the hub has accepted it. The error, if any, is shown. */
  async send(text: string): Promise<boolean> {
    if (text.trim() === "" || this.readonly) return false;
    if (!this.stream) {
      this.stream = `chat-${unique()}`;
      this.#enter();
    }
    await this.#entering;
    const accepted = await this.#controller?.send(text);
    if (!accepted) return false;
    this.#tell("hub-sent", { text });
    this.#scrolling?.toEnd();
    return true;
  }

  /** Stop every running reply in this conversation, whoever started it; its text so far stays. */
  async stop(): Promise<void> {
    if (!this.readonly) await this.#controller?.stop();
  }

  focusComposer(): void {
    this.#composer.value?.focus();
  }

  override focus(options?: FocusOptions): void {
    (this.#composer.value ?? this.#log.value)?.focus(options);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    // Not the first time: everything below was released when it left the page.
    if (this.hasUpdated) {
      this.#observe();
      this.#enter();
    }
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#leave();
    this.#endStatus?.();
    this.#endStatus = undefined;
    this.#hub = undefined;
    this.#used.release();
    this.#scrolling?.close();
    this.#scrolling = undefined;
  }

  protected override firstUpdated(): void {
    this.#observe();
  }

  protected override updated(changed: Map<PropertyKey, unknown>): void {
    // An element that is not in the page follows nothing; it starts when it is back.
    if (!this.isConnected) return;
    if (["stream", "hub", "src", "token", "account"].some((name) => changed.has(name))) this.#enter();
  }

  #observe(): void {
    const box = this.#log.value;
    const contents = this.#turns.value;
    if (!box || !contents) return;
    this.#scrolling = new Scrolling(box, contents, () => {
      this.requestUpdate();
    });
  }

  #enter(): void {
    this.#leave();
    const hub = this.#used.choose(this);
    if (hub !== this.#hub) this.#connect(hub);
    const { stream } = this;
    this.#announcer.forget();
    this.#scrolling?.toEnd();
    if (!stream) return;
    const whose = accountOf(this);
    if (typeof whose === "string") {
      this.#begin(hub, stream, whose);
      return;
    }
    this.#composer.value?.clear();
    // Without a token nobody knows whose it is: what is kept then is found by nobody.
    const entering = whose.catch(() => unique()).then((account) => {
      if (this.#entering === entering) this.#begin(hub, stream, account, this.#composer.value?.text);
    });
    this.#entering = entering;
  }

  #begin(hub: Hub, stream: string, account: string, typed?: string): void {
    this.#entering = undefined;
    this.#whose = account;
    let isNew = true;
    const conversation = new LiveConversation(hub, stream, {
      received: (state) => {
        this.#controller?.update(state);
        this.#tell("hub-state", { state });
      },
      lagged: () => {
        this.#tellStatus();
      },
      changed: (state) => {
        this.requestUpdate();
        if (!state) return;
        this.#announcer.update(state);
        if (!isNew) this.#scrolling?.news();
        // The scroll position of the last conversation does not apply to this one.
        else void this.updateComplete.then(() => this.#scrolling?.toEnd());
        isNew = false;
        if (this.arrival) void this.updateComplete.then(this.#restoreScroll);
      },
    }, { account, branch: this.branch });
    this.#conversation = conversation;
    this.#controller?.enter(conversation, account);
    void this.#controller?.flush();
    this.#composer.value?.open(hub.url, stream, account, typed);
    this.requestUpdate();
  }

  #connect(hub: Hub): void {
    this.#endStatus?.();
    this.#hub = hub;
    this.#controller = new ChatController(hub, {
      changed: () => {
        this.requestUpdate();
      },
      branched: () => {
        // The button that was pressed is gone; an on-screen keyboard must not come instead.
        if (matchMedia("(pointer: fine)").matches) this.focusComposer();
      },
    });
    this.#endStatus = hub.onStatus((status) => {
      this.status = status;
      if (status.state === "live") void this.#flush(hub);
      this.#tellStatus();
    });
  }

  /** Send what was written offline, unless the page has another user meanwhile. */
  async #flush(hub: Hub): Promise<void> {
    const whose = await Promise.resolve(accountOf(this)).catch(() => undefined);
    if (this.#hub !== hub || whose === undefined || this.#entering || !this.#conversation) return;
    if (whose === this.#whose) await this.#controller?.flush();
    else this.#enter();
  }

  #leave(): void {
    this.#entering = undefined;
    this.#composer.value?.leave();
    this.#conversation?.leave();
    this.#conversation = undefined;
    this.#controller?.enter(undefined);
  }

  readonly #version = ({ detail, target }: CustomEvent<VersionChoice>): void => {
    const { version, position, step } = detail;
    const { stream: source } = this;
    const scrolling = this.#scrolling;
    if (!source || !scrolling) return;
    const arrival = scrollPlace(position, step, target as Element, scrolling);
    if (version.turn !== undefined && version.stream === source) {
      this.arrival = arrival;
      this.#show(version.turn);
      return;
    }
    const detailed = { source, stream: version.stream, position, arrival };
    const going = new CustomEvent("hub-fork", { detail: detailed, bubbles: true, composed: true, cancelable: true });
    if (!this.dispatchEvent(going)) return;
    this.stream = version.stream;
    this.arrival = arrival;
  };

  /** Show the branch of a turn. */
  #show(turn: string): void {
    // What is already there is not news.
    this.#announcer.forget();
    this.#conversation?.choose(turn);
  }

  readonly #restoreScroll = async (): Promise<void> => {
    const { arrival } = this;
    const scrolling = this.#scrolling;
    const turns = this.#turns.value?.querySelector("hub-turns");
    if (arrival && scrolling && turns && (await restoreScroll(arrival, turns, scrolling))) this.arrival = undefined;
  };

  // -- announcing

  #tell(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #tellStatus(): void {
    this.#tell("hub-status", { status: this.status, lag: this.#conversation?.lag ?? 0 });
  }

  /** Announce a text to screen readers. */
  #say(text: string): void {
    const region = this.#announced.value;
    if (!region) return;
    const line = document.createElement("p");
    line.textContent = text;
    region.append(line);
    while (region.childElementCount > ANNOUNCED) region.firstElementChild?.remove();
  }

  // -- rendering

  protected override render(): unknown {
    const state = this.#conversation?.state ?? EMPTY;
    const controller = this.#controller;
    if (controller) controller.upstream = this.upstream;
    const activity = controller?.activity ?? "nothing";
    return html`<div class="log" ${ref(this.#log)} role="log" tabindex="0" aria-label="Conversation" aria-live="off"
        aria-busy=${state.running.length > 0}>
        <div class="turns" ${ref(this.#turns)} @again=${this.#again} @edit=${this.#edit} @version=${this.#version}
          @above=${this.#above}>
          ${state.turns.length === 0 ? this.#middle() : nothing}
          <hub-turns .turns=${state.turns} .versions=${this.#conversation?.versions ?? NONE}
            .open=${!this.readonly && !state.closed && activity === "nothing"}
            .connected=${this.status.state === "live"} .busy=${controller?.asking === true}></hub-turns>
        </div>
        ${this.#jumpToEnd()}
      </div>
      <div class="unseen" role="status" ${ref(this.#announced)}></div>
      <div class="foot">
        ${this.#errorNotice()} ${this.#elsewhere()}
        ${this.readonly
          ? nothing
          : html`<hub-composer ${ref(this.#composer)} .activity=${activity} .closed=${state.closed} @ask=${this.#asked} @halt=${this.#halt}
              @typing=${this.#typing}></hub-composer>
              <hub-queue .queue=${state.queue} .unsent=${controller?.unsent ?? []} @requeue=${this.#requeue}></hub-queue>`}
        ${this.#line()}
      </div>`;
  }

  /** What an empty or unavailable conversation shows. */
  #middle(): unknown {
    const { known, failed } = this.#conversation ?? { known: !this.stream, failed: undefined };
    if (failed) return html`<div class="middle" role="alert">${failed.text} ${failed.code ? html`<code>${failed.code}</code>` : nothing}</div>`;
    if (this.status.state === "closed") return html`<div class="middle" role="alert">${sentence(this.status.message)} <code>${this.status.code}</code></div>`;
    if (!known) return html`<div class="middle loading">${this.status.state === "live" ? "Loading…" : "Waiting for the hub…"}</div>`;
    if (this.readonly) return html`<div class="middle">Nothing has been said here yet.</div>`;
    return html`<div class="middle"><slot name="empty">Ask something to begin.</slot></div>`;
  }

  #jumpToEnd(): unknown {
    const scrolling = this.#scrolling;
    if (!scrolling || scrolling.following) return nothing;
    // Inside the scrolling element, so that the wheel still scrolls the text when over it.
    return html`<div class="last"><button class=${scrolling.unseen ? "pill" : "pill bare"} type="button" title="To the end"
      aria-label=${scrolling.unseen ? "New text: to the end" : "To the end"} @click=${() => {
        scrolling.toEnd(true);
      }}>${scrolling.unseen ? "New text" : nothing}${icons.down()}</button></div>`;
  }

  #errorNotice(): unknown {
    const notice = this.#controller?.notice;
    if (!notice) return nothing;
    return html`<div class="complaint" role="alert">
      ${icons.warning()}
      <p>${notice.text} ${notice.code ? html`<code>${notice.code}</code>` : nothing}</p>
      <button class="plain" type="button" @click=${() => {
        this.#controller?.dismiss();
      }}>Dismiss</button>
    </div>`;
  }

  /** A reply that is not on the branch that is shown. */
  #elsewhere(): unknown {
    const generation = this.#conversation?.elsewhere;
    if (generation === undefined) return nothing;
    return html`<div class="elsewhere" role="status">
      <p>Another version is being answered.</p>
      <button class="plain" type="button" @click=${() => {
        this.#show(generation);
        this.#scrolling?.toEnd();
      }}>Show</button>
    </div>`;
  }

  #line(): unknown {
    const here = presenceText(this.#conversation?.participants.members ?? []);
    if (this.noStatus && here === "") return html`<div class="line"></div>`;
    return html`<div class="line">
      ${this.noStatus ? nothing : html`<hub-status .hub=${this.#hub} .lag=${this.#conversation?.lag ?? 0}></hub-status>`}
      <span class="company">${here}</span>
    </div>`;
  }

  // -- listening

  readonly #again = ({ detail: { reply } }: CustomEvent<{ reply: AssistantMessage }>): void => {
    void this.#controller?.again(reply);
  };

  readonly #edit = ({ detail: { message, text } }: CustomEvent<{ message: ChatMessage; text: string }>): void => {
    void this.#controller?.edit(message, text);
  };

  readonly #asked = async ({ detail }: CustomEvent<{ text: string; accepted: () => void }>): Promise<void> => {
    this.#conversation?.participants.typing(false);
    if (await this.send(detail.text)) detail.accepted();
    this.focusComposer();
  };

  readonly #requeue = ({ detail }: CustomEvent<QueueRequest>): void => {
    void this.#controller?.requeue(detail);
  };

  readonly #halt = (): void => {
    void this.stop();
    this.focusComposer();
  };

  readonly #typing = ({ detail: { typing } }: CustomEvent<{ typing: boolean }>): void => {
    this.#conversation?.participants.typing(typing);
  };

  readonly #pressed = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.isComposing || event.defaultPrevented) return;
    if (this.readonly || (this.#controller?.activity ?? "nothing") === "nothing") return;
    event.preventDefault();
    this.#halt();
  };

  /** Older turns are about to be inserted above. */
  readonly #above = ({ target }: Event): void => {
    const mark = this.#scrolling?.mark();
    const turns = target as HTMLElement & { readonly updateComplete: Promise<boolean> };
    // `from` is set right after this event, and its update moves the text.
    void Promise.resolve()
      .then(() => turns.updateComplete)
      .then(() => {
        if (mark) this.#scrolling?.restore(mark);
      })
      .then(this.#restoreScroll);
  };
}

register("hub-chat", HubChat);

declare global {
  interface HTMLElementTagNameMap {
    "hub-chat": HubChat;
  }
}
