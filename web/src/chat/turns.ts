/** The turns of a conversation, rendered one by one; of many turns the oldest come last. */

import { html, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";

import { keyOf, type Versions } from "../model/branches.js";
import type { AssistantMessage, ChatMessage, State } from "../model/conversation.js";
import { LightElement, register } from "../ui/light-element.js";
import { begin, idle, older } from "./older-turns.js";
import "./assistant-message.js";
import "./message.js";

type Turn = ChatMessage | AssistantMessage;

const NONE: ReadonlyMap<string, Versions> = new Map();
/** The newest turns are always laid out, so that following the end does not depend on guessed heights. */
const FRESH = 2;

export class Turns extends LightElement {
  static override properties = {
    turns: { attribute: false },
    versions: { attribute: false },
    open: { type: Boolean },
    connected: { type: Boolean },
    busy: { type: Boolean },
    from: { state: true },
  };

  declare turns: State["turns"];
  declare versions: ReadonlyMap<string, Versions>;
  /** The conversation can be changed now: nothing is running, and the user may write. */
  declare open: boolean;
  declare connected: boolean;
  /** A request to the hub is pending. */
  declare busy: boolean;
  /** The index of the first turn that is rendered so far. */
  declare from: number;
  #callOff: (() => void) | undefined;

  constructor() {
    super();
    this.turns = [];
    this.versions = NONE;
    this.open = false;
    this.connected = true;
    this.busy = false;
    this.from = 0;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#callOff?.();
    this.#callOff = undefined;
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (!changed.has("turns")) return;
    const had = (changed.get("turns") as State["turns"] | undefined)?.length ?? 0;
    this.from = begin(this.turns, this.from, had);
  }

  protected override render(): unknown {
    const shown = this.turns.slice(this.from);
    const last = this.turns.at(-1);
    const fresh = new Set(this.turns.slice(-FRESH));
    let prompted = this.turns.slice(0, this.from).some(isPrompt);
    const answerable = new Set(
      shown.filter((turn) => {
        prompted ||= isPrompt(turn);
        return prompted;
      }),
    );
    return repeat(shown, keyOf, (turn) => {
      const place = fresh.has(turn) ? "fresh" : "";
      return turn.kind === "message"
        ? this.#message(turn, place)
        : this.#assistant(turn, place, turn === last, answerable.has(turn));
    });
  }

  #message(message: ChatMessage, place: string): TemplateResult {
    return html`<hub-said class=${place} .message=${message} .versions=${this.versions.get(keyOf(message))} .busy=${this.busy}
      .editable=${this.open && message.role === "user"}></hub-said>`;
  }

  #assistant(reply: AssistantMessage, place: string, last: boolean, answerable: boolean): TemplateResult {
    const wrong = reply.state === "failed" || reply.state === "interrupted";
    return html`<hub-reply class=${place} .reply=${reply} .versions=${this.versions.get(keyOf(reply))} .connected=${this.connected} .busy=${this.busy}
      .again=${this.open && answerable} .retry=${this.open && last && wrong}></hub-reply>`;
  }

  protected override updated(): void {
    if (this.from === 0 || this.#callOff) return;
    this.#callOff = idle(() => {
      this.#callOff = undefined;
      this.tell("above");
      this.from = older(this.turns, this.from);
    });
  }
}

function isPrompt(turn: Turn): boolean {
  return turn.kind === "message" && turn.role === "user";
}

register("hub-turns", Turns);

declare global {
  interface HTMLElementTagNameMap {
    "hub-turns": Turns;
  }
}
