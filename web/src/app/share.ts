/**
 * The page of a share link: one conversation, read-only.
 *
 * The hub writes what the link shows into the page. Its secret, the last part of the address, is the
 * credential of every request; this page has no other, and asks for nothing else.
 */

// First: the policy must exist before anything makes a script URL or markup.
import "./trusted-types.js";

import "../chat/index.js";

import { html, nothing, render } from "lit";

import { connect } from "../client/index.js";
import * as icons from "../ui/icons.js";
import { notice } from "../ui/notice.js";

/** What the hub writes into the page; `expires` is in seconds since 1970. */
interface Share {
  readonly stream: string;
  readonly title: string | null;
  /** It shows nothing that comes later. */
  readonly frozen: boolean;
  readonly expires: number | null;
}

const ENDED = "This link does not work any more. Ask whoever gave it to you for a new one.";

const share = JSON.parse(document.querySelector<HTMLMetaElement>('meta[name="share"]')?.content ?? "null") as Share | null;
const secret = location.pathname.split("/").at(-1) ?? "";
const bar = byId("bar");
const main = byId("main");

function start({ stream, title, frozen, expires }: Share): void {
  const hub = connect(new URL("..", location.href), { token: `sl_${secret}`, shared: false });
  const chat = document.createElement("hub-chat");
  chat.hub = hub;
  chat.stream = stream;
  chat.readonly = true;
  // What whoever made the link saw, in a conversation with several branches.
  chat.branch = location.hash.slice(1) || undefined;
  chat.noStatus = true;
  // Versions that are conversations of their own are other streams, which the link does not show.
  chat.addEventListener("hub-fork", (event) => {
    event.preventDefault();
    notice("This link only shows this version.");
  });
  let ended = false;
  const draw = (): void => {
    render(
      html`<div class="heading">
        <h1 dir="auto">${title ?? "A shared conversation"}</h1>
        <p class="badge">${icons.eye()}Read-only</p>
        ${frozen ? html`<p class="model" title="It shows nothing that was said later">As it was</p>` : nothing}
        ${frozen || ended ? nothing : html`<hub-status .hub=${hub}></hub-status>`}
      </div>`,
      bar,
    );
    render(html`${ended ? html`<p class="ended" role="alert">${ENDED}</p>` : nothing}${chat}`, main);
  };
  const end = (): void => {
    if (ended) return;
    ended = true;
    hub.close();
    draw();
  };
  hub.onStatus(({ state }) => {
    if (state === "closed") end();
  });
  // The hub closes the connection, too; a page that was asleep is told at once.
  if (expires !== null) watch(expires * 1000, end);
  draw();
}

/** Call `end` at a time in milliseconds since 1970. */
function watch(at: number, end: () => void): void {
  const left = at - Date.now();
  if (left <= 0) end();
  else setTimeout(() => { watch(at, end); }, Math.min(left, 86_400_000));
}

function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

if (share) start(share);
else render(html`<p class="ended" role="alert">${ENDED}</p>`, main);
