/** The turns of a conversation, each rendered alone; the oldest of many come last. */

import { html, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";

import type { Reply, Said, State } from "../../client/state.js";
import type { Versions } from "./branches.js";
import { Light, register } from "./light.js";
import { begin, idle, older } from "./older.js";
import "./reply.js";
import "./said.js";

type Turn = Said | Reply;

const NONE: ReadonlyMap<Said, Versions> = new Map();
/** The newest turns are always laid out, so that following the end needs no guess of heights. */
const FRESH = 2;

export class Turns extends Light {
  static override properties = {
    turns: { attribute: false },
    versions: { attribute: false },
    open: { type: Boolean },
    connected: { type: Boolean },
    busy: { type: Boolean },
    from: { state: true },
  };

  declare turns: State["turns"];
  declare versions: ReadonlyMap<Said, Versions>;
  /** It may be changed now: nothing runs, and the reader may write. */
  declare open: boolean;
  declare connected: boolean;
  /** The hub is being asked. */
  declare busy: boolean;
  /** The first turn that is shown so far. */
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
    return repeat(shown, key, (turn) => {
      const place = fresh.has(turn) ? "fresh" : "";
      return turn.kind === "message"
        ? this.#said(turn, place)
        : this.#reply(turn, place, turn === last, answerable.has(turn));
    });
  }

  #said(said: Said, place: string): TemplateResult {
    return html`<hub-said class=${place} .said=${said} .versions=${this.versions.get(said)} .busy=${this.busy}
      .editable=${this.open && said.role === "user"}></hub-said>`;
  }

  #reply(reply: Reply, place: string, last: boolean, answerable: boolean): TemplateResult {
    const wrong = reply.state === "failed" || reply.state === "interrupted";
    return html`<hub-reply class=${place} .reply=${reply} .connected=${this.connected} .busy=${this.busy}
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

function key(turn: Turn): string {
  return turn.kind === "reply" ? turn.generation : turn.before || "first";
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
