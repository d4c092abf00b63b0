/** Renders the list of conversations. */

import { html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";

import { UNTITLED } from "../model/title.js";
import * as icons from "../ui/icons.js";
import type { Account } from "./account.js";
import { arranged, type Entry, found, type Placed } from "./conversation-list.js";
import { type Hit, PORTION, type Progress } from "./message-search.js";
import { hashOf } from "./route.js";
import { type Theme, THEMES } from "./theme.js";

const THEME_ICONS = { system: icons.system, light: icons.light, dark: icons.dark };
/** Up to this many conversations there is no search field. */
const FEW = 2;
/** So many conversations are shown at first, and more with each press of a button. */
export const SHOWN = 100;
/** The most levels of indentation for forks. */
const DEEPEST = 3;

const EMPTY = {
  here: "Conversations you take part in are listed here, in this browser.",
  everywhere: "Conversations you take part in are listed here, on all your devices.",
};

// Made once: to make one takes longer than to draw a row.
const TIME = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export interface SidebarState {
  readonly entries: readonly Entry[];
  /** The name of the current conversation. */
  readonly current: string | undefined;
  /** The search query; `undefined` while there is no search. */
  readonly query: string | undefined;
  /** The most conversations to show. */
  readonly most: number;
  /** What was found in messages; `undefined` while they are not searched. */
  readonly messages: Progress | undefined;
  readonly theme: Theme;
  readonly account: Account;
  readonly now: Date;
}

export interface SidebarCallbacks {
  readonly fresh: () => void;
  readonly keys: () => void;
  readonly hide: () => void;
  /** The user chose a conversation. */
  readonly chosen: () => void;
  readonly search: (query: string | undefined) => void;
  /** Show more conversations. */
  readonly more: () => void;
  readonly searchMessages: () => void;
  readonly searchOlder: () => void;
  readonly menu: (entry: Entry, button: HTMLElement) => void;
  readonly theme: (theme: Theme) => void;
  readonly signOut: () => void;
}

export function sidebar(state: SidebarState, callbacks: SidebarCallbacks): TemplateResult {
  return html`
    <div class="brand">
      <img src="favicon.svg" alt="" width="26" height="26" />
      <span>Streamhub</span>
      <button type="button" class="quiet" aria-label="Hide the list" @click=${callbacks.hide}>${icons.sidebar()}</button>
    </div>
    <button type="button" class="fresh" @click=${callbacks.fresh}>${icons.plus()}<span>New conversation</span></button>
    ${search(state, callbacks)} ${list(state, callbacks)} ${who(state.account, callbacks)}
    <div class="foot">
      ${themes(state.theme, callbacks)}
      <button type="button" class="quiet" aria-label="Keys" title="Keys (?)" @click=${callbacks.keys}>${icons.keys()}</button>
    </div>
  `;
}

/** The order on the screen, which Alt and the arrow keys follow. */
export function inOrder(entries: readonly Entry[], query: string): readonly Placed[] {
  if (query.trim() === "") return arranged(entries);
  return found(entries, query).map((entry) => ({ entry, depth: 0 }));
}

function who({ user, session, methods }: Account, callbacks: SidebarCallbacks): TemplateResult | typeof nothing {
  if (user === null) return methods.length === 0 ? nothing : html`<div class="who"><a href="login">Sign in</a></div>`;
  return html`<div class="who">
    <span class="user" dir="auto" title="Signed in as ${user}">${user}</span>
    ${session ? html`<button type="button" class="plain" @click=${callbacks.signOut}>Sign out</button>` : nothing}
  </div>`;
}

function search({ entries, query }: SidebarState, callbacks: SidebarCallbacks): TemplateResult | typeof nothing {
  if (entries.length <= FEW && query === undefined) return nothing;
  const typed = (event: InputEvent): void => {
    callbacks.search((event.target as HTMLInputElement).value);
  };
  const key = (event: KeyboardEvent): void => {
    if (query === undefined || event.isComposing) return;
    if (event.key === "Escape") callbacks.search(undefined);
    else if (event.key === "Enter") {
      const first = document.querySelector<HTMLElement>("#sidebar .list a");
      if (first) first.click();
      else if (query.trim() !== "") callbacks.searchMessages();
    } else return;
    event.preventDefault();
  };
  return html`<label class="search">
    ${icons.search()}
    <input id="search" type="search" placeholder="Search" aria-label="Search the conversations" autocomplete="off" .value=${query ?? ""} @input=${typed} @keydown=${key} />
  </label>`;
}

function list(state: SidebarState, callbacks: SidebarCallbacks): TemplateResult {
  const searched = (state.query ?? "").trim() !== "" && state.entries.length > 0;
  return html`<div class="entries">${byTitle(state, callbacks)} ${searched ? inMessages(state, callbacks) : nothing}</div>`;
}

function byTitle(state: SidebarState, callbacks: SidebarCallbacks): TemplateResult {
  const placed = inOrder(state.entries, state.query ?? "");
  if (placed.length === 0) {
    const said = state.query ? "No title contains these words." : EMPTY[state.account.conversations === null ? "here" : "everywhere"];
    return html`<p class="empty">${said}</p>`;
  }
  const left = placed.length - state.most;
  return html`<ul class="list">
      ${repeat(placed.slice(0, state.most), ({ entry }) => entry.name, (one) => item(one, state, callbacks))}
    </ul>
    ${left > 0 ? html`<button type="button" class="plain" @click=${callbacks.more}>Show ${left > SHOWN ? `${SHOWN} of ${left}` : left} more</button>` : nothing}`;
}

function item({ entry, depth }: Placed, { current, now }: SidebarState, callbacks: SidebarCallbacks): TemplateResult {
  const title = entry.title || UNTITLED;
  const at = new Date(entry.at);
  const menu = (event: Event): void => {
    callbacks.menu(entry, event.currentTarget as HTMLElement);
  };
  return html`<li class="depth-${Math.min(depth, DEEPEST)}">
    <a href=${hashOf("conversation", entry.name)} aria-current=${entry.name === current ? "page" : nothing} @click=${callbacks.chosen}>
      ${depth > 0 ? html`<span class="branch" title="Branched off from the one above">${icons.fork()}</span>` : nothing}
      ${entry.pinned ? html`<span class="branch" role="img" aria-label="Pinned:" title="Pinned">${icons.pin()}</span>` : nothing}
      <span class="title" dir="auto" title=${title}>${title}</span>
      ${entry.running ? html`<span class="dot" role="img" aria-label="is being answered"></span>` : nothing}
      <time datetime=${at.toISOString()} title=${EXACT.format(at)}>${shortTime(at, now)}</time>
    </a>
    <button type="button" class="quiet" aria-label="More about ${title}" aria-haspopup="menu" aria-expanded="false" @click=${menu}>${icons.more()}</button>
  </li>`;
}

function inMessages({ messages, current }: SidebarState, callbacks: SidebarCallbacks): TemplateResult {
  const left = messages && !messages.running ? messages.all - messages.searched : 0;
  return html`<section class="messages" tabindex="-1" aria-label="In messages">
    ${messages ? nothing : html`<button type="button" class="plain" @click=${callbacks.searchMessages}>Search what was said</button>`}
    <p class="searched" role="status">${messages ? progressOf(messages) : nothing}</p>
    ${messages && messages.hits.length > 0 ? html`<ul class="list hits">
      ${repeat(messages.hits, ({ entry }) => entry.name, (one) => hit(one, current, callbacks))}
    </ul>` : nothing}
    ${left > 0 ? html`<button type="button" class="plain" @click=${callbacks.searchOlder}>Search ${Math.min(left, PORTION)} older</button>` : nothing}
  </section>`;
}

function progressOf({ hits, searched, all, running }: Progress): string {
  if (running) return "Searching what was said…";
  const where = `${searched < all ? `the latest ${searched} of ` : ""}${all} conversations`;
  return hits.length === 0 ? `No message in ${where} has these words.` : `Found in ${hits.length} of ${where}:`;
}

function hit({ entry, excerpt }: Hit, current: string | undefined, callbacks: SidebarCallbacks): TemplateResult {
  const { before, match, after } = excerpt;
  return html`<li>
    <a href=${hashOf("conversation", entry.name)} aria-current=${entry.name === current ? "page" : nothing} @click=${callbacks.chosen}>
      <span class="title" dir="auto">${entry.title || UNTITLED}</span>
      <span class="excerpt" dir="auto">${before}<mark>${match}</mark>${after}</span>
    </a>
  </li>`;
}

/** The time if it is today, the weekday if it is within a week, otherwise the date. */
export function shortTime(at: Date, now: Date): string {
  if (at.toDateString() === now.toDateString()) return TIME.format(at);
  const days = (now.getTime() - at.getTime()) / 86_400_000;
  if (days >= 0 && days < 6) return WEEKDAY.format(at);
  return (at.getFullYear() === now.getFullYear() ? DAY : DATE).format(at);
}

function themes(theme: Theme, callbacks: SidebarCallbacks): TemplateResult {
  const name = { system: "As in the system", light: "Light", dark: "Dark" };
  return html`<fieldset class="themes">
    <legend class="unseen">Theme</legend>
    ${THEMES.map(
      (one) => html`<label title=${name[one]}>
        <input type="radio" name="theme" class="unseen" .checked=${one === theme} @change=${() => { callbacks.theme(one); }} />
        ${THEME_ICONS[one]()}<span class="unseen">${name[one]}</span>
      </label>`,
    )}
  </fieldset>`;
}
