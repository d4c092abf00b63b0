/**
 * The current conversation: a <hub-chat>, a new one for each address.
 *
 * It is a new element instead of a new `stream` for the old one, so that late events of an element
 * are always about its own conversation. An element reports every state, many times a second while
 * a reply arrives. The page is only notified of changes that it shows around the conversation;
 * detecting these takes the same time however long the conversation is.
 */

import { html, render, type TemplateResult } from "lit";

import type { HubChat } from "../chat/hub-chat.js";
import type { ScrollRestore } from "../chat/scroll-restore.js";
import type { Hub } from "../client/hub.js";
import { EMPTY, type State } from "../model/conversation.js";
import type { Account } from "./account.js";
import type { Route } from "./route.js";
import { welcome } from "./welcome.js";

export interface StageCallbacks {
  /** The result of `outlineOf` for the state has changed. */
  changed(): void;
  /** How many records are still to come. */
  lagged(records: number): void;
  /** The conversation continues in a fork, which should restore the scroll position if given. */
  forked(stream: string, restore: ScrollRestore | undefined): void;
}

export class Stage {
  /** The latest state of the current conversation. */
  state: State = EMPTY;
  #chat: HubChat | undefined;
  readonly #greeting = document.createElement("div");

  constructor(
    private readonly place: HTMLElement,
    private readonly hub: Hub,
    private readonly picker: HTMLElement,
    private readonly account: Account,
    private readonly callbacks: StageCallbacks,
  ) {
    this.#greeting.slot = "empty";
    this.#greeting.className = "welcome";
    picker.slot = "tools";
  }

  show(route: Exclude<Route, { kind: "new" }>, model: string | undefined, restore?: ScrollRestore): void {
    this.state = EMPTY;
    this.callbacks.lagged(0);
    if (route.kind === "unknown") {
      this.#chat = undefined;
      render(this.account.folder === null ? nothingToBegin() : nowhere(), this.place);
      return;
    }
    const chat = document.createElement("hub-chat");
    chat.hub = this.hub;
    chat.stream = route.name;
    chat.noStatus = true;
    chat.account = this.account.subject;
    chat.arrival = restore;
    chat.readonly = route.kind === "view";
    if (!chat.readonly) chat.append(this.picker, this.#greeting);
    this.#listen(chat);
    this.#chat = chat;
    this.model(model);
    render(html`${chat}`, this.place);
  }

  /** Set the model for future replies. */
  model(model: string | undefined): void {
    const chat = this.#chat;
    if (!chat) return;
    if (model !== undefined) chat.upstream = model;
    render(welcome(model, (prompt) => void chat.send(prompt)), this.#greeting);
  }

  compose(): boolean {
    if (!this.#chat || this.#chat.readonly) return false;
    const chat = this.#chat;
    // A new element has no composer yet.
    void chat.updateComplete.then(() => {
      chat.focusComposer();
    });
    return true;
  }

  /** Stop the running reply; false if there is none. */
  stop(): boolean {
    if (!this.#chat || this.#chat.readonly || this.state.running.length === 0) return false;
    void this.#chat.stop();
    return true;
  }

  #listen(chat: HubChat): void {
    chat.addEventListener("hub-state", (event) => {
      if (chat !== this.#chat) return;
      const { state } = (event as CustomEvent<{ state: State }>).detail;
      const before = outlineOf(this.state);
      this.state = state;
      if (outlineOf(state) !== before) this.callbacks.changed();
    });
    chat.addEventListener("hub-status", (event) => {
      if (chat === this.#chat) this.callbacks.lagged((event as CustomEvent<{ lag: number }>).detail.lag);
    });
    chat.addEventListener("hub-fork", (event) => {
      if (chat !== this.#chat) return;
      event.preventDefault();
      const { stream, arrival } = (event as CustomEvent<{ stream: string; arrival?: ScrollRestore }>).detail;
      this.callbacks.forked(stream, arrival);
    });
  }
}

/** The part of a state that the page shows around the conversation. */
export function outlineOf({ turns, all, running, branches, closed }: State): string {
  const last = turns.at(-1);
  const model = last?.kind === "reply" ? (last.model ?? last.upstream) : "";
  const first = turns[0]?.before ?? "";
  return [turns.length, all.length, first, last?.before, model, running.join(), branches.length, closed].join(" ");
}

function nothingToBegin(): TemplateResult {
  return html`<div class="nowhere">
    <h2>You can read here, but not begin a conversation</h2>
    <p>Open the link of a conversation that somebody has shared with you.</p>
  </div>`;
}

function nowhere(): TemplateResult {
  return html`<div class="nowhere">
    <h2>There is no conversation at this address</h2>
    <p>The link may be incomplete. A complete one ends with <code>#/c/</code> or <code>#/v/</code> and a name.</p>
    <p><a href="#/">Start a new conversation</a></p>
  </div>`;
}
