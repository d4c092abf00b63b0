/** The bar above the conversation: its title, the model, and buttons to share it. */

import { html, nothing, type TemplateResult } from "lit";

import type { Hub } from "../client/hub.js";
import * as icons from "../ui/icons.js";

export interface BarState {
  readonly title: string;
  readonly model: string | undefined;
  /** The conversation is read-only. */
  readonly view: boolean;
  /** There are messages, so that there is something to share. */
  readonly begun: boolean;
  readonly listShown: boolean;
}

export interface BarCallbacks {
  readonly list: (button: HTMLElement) => void;
  readonly fresh: () => void;
  readonly share: (button: HTMLElement) => void;
  readonly export: (button: HTMLElement) => void;
}

type Pressed = (event: Event) => void;

const pressed = (does: (button: HTMLElement) => void): Pressed => (event) => {
  does(event.currentTarget as HTMLElement);
};

export function bar(state: BarState, hub: Hub, callbacks: BarCallbacks): TemplateResult {
  return html`
    ${state.listShown ? nothing : html`
      <button type="button" class="quiet" aria-label="Show the list" aria-controls="sidebar" aria-expanded="false" @click=${pressed(callbacks.list)}>${icons.sidebar()}</button>
      <button type="button" class="quiet" aria-label="New conversation" @click=${callbacks.fresh}>${icons.plus()}</button>
    `}
    <div class="heading">
      <h1 dir="auto">${state.title}</h1>
      ${state.model ? html`<p class="model" title="The model that answers">${state.model}</p>` : nothing}
      ${state.view ? html`<p class="badge">${icons.eye()}Read-only</p>` : nothing}
      <hub-status .hub=${hub}></hub-status>
    </div>
    ${state.begun ? html`
      ${menu("Export", icons.save, callbacks.export)}
      ${menu("Share", icons.share, callbacks.share)}
    ` : nothing}
  `;
}

function menu(label: string, drawing: icons.Icon, does: (button: HTMLElement) => void): TemplateResult {
  return html`<button type="button" class="quiet labelled" aria-haspopup="menu" aria-expanded="false" aria-label=${label} @click=${pressed(does)}>
    ${drawing()}<span>${label}</span>
  </button>`;
}
