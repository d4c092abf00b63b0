/** What the page shows to somebody who has to sign in first. */

import { html, render, type TemplateResult } from "lit";

import type { Account } from "./account.js";

/** `ended`: somebody was signed in here, until their session ended. */
export function showSignIn(place: HTMLElement, account: Account, ended: boolean): void {
  document.title = "Sign in · Streamhub";
  render(signIn(account, ended), place);
}

function signIn({ user, methods }: Account, ended: boolean): TemplateResult {
  if (user !== null) {
    return html`<div class="nowhere">
      <h1>You are signed in as ${user}</h1>
      <p>This account may not do anything here yet. Ask whoever runs this hub.</p>
      <p><a href="login">Sign out or sign in as somebody else</a></p>
    </div>`;
  }
  return html`<div class="nowhere sign-in">
    <img src="favicon.svg" alt="" width="48" height="48" />
    <h1>${ended ? "Your session has ended" : "Sign in to continue"}</h1>
    <p>${ended ? "Sign in again, and this page goes on where you were." : "Your conversations are kept under your name."}</p>
    <ul>
      ${methods.map(({ label, url }) => html`<li>${url === null ? label : html`<a class="button" href=${url}>${label}</a>`}</li>`)}
    </ul>
  </div>`;
}
