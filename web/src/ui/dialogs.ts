/**
 * Native modal dialogs, which keep the focus inside, close with Esc and return the focus. There is
 * one at a time.
 */

import { html, render, type TemplateResult } from "lit";

import * as icons from "./icons.js";

/** Whether a dialog is open. */
export const dialogOpen = (): boolean => document.querySelector("dialog[open]") !== null;

/** Show a dialog until it is closed; returns its return value, "" for Esc. */
export function showDialog(
  title: string,
  body: (close: (answer?: string) => void) => TemplateResult,
): Promise<string> {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  dialog.setAttribute("aria-labelledby", "dialog-title");
  const close = (answer = ""): void => {
    dialog.close(answer);
  };
  const shut = html`<button type="button" class="quiet" aria-label="Close" @click=${() => { close(); }}>${icons.close()}</button>`;
  render(html`<header><h2 id="dialog-title">${title}</h2>${shut}</header>${body(close)}`, dialog);
  // Only a press on the backdrop has the dialog itself as its target, because it has no padding.
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((answered) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      answered(dialog.returnValue);
    });
  });
}

/** Ask for confirmation of an action that cannot be undone. */
export async function askWhether(title: string, text: string, yes: string): Promise<boolean> {
  const answer = await showDialog(
    title,
    (close) => html`<p>${text}</p>
      <footer>
        <button type="button" class="plain" autofocus @click=${() => { close(); }}>Keep it</button>
        <button type="button" class="danger" @click=${() => { close("yes"); }}>${yes}</button>
      </footer>`,
  );
  return answer === "yes";
}

/** Ask for a line of text; returns "" if there is none. */
export async function askText(title: string, label: string, value: string): Promise<string> {
  return showDialog(title, (close) => {
    const done = (event: SubmitEvent): void => {
      event.preventDefault();
      const field = (event.currentTarget as HTMLFormElement).elements.namedItem("text");
      close((field as HTMLInputElement).value.trim());
    };
    const chosen = (event: FocusEvent): void => {
      (event.target as HTMLInputElement).select();
    };
    return html`<form @submit=${done}>
      <label>${label}<input name="text" autocomplete="off" maxlength="120" .value=${value} autofocus @focus=${chosen} /></label>
      <footer>
        <button type="button" class="plain" @click=${() => { close(); }}>Cancel</button>
        <button class="primary">Save</button>
      </footer>
    </form>`;
  });
}

/** Show a text to be copied by hand. */
export async function showText(title: string, text: string): Promise<void> {
  const chosen = (event: Event): void => {
    (event.target as HTMLInputElement).select();
  };
  await showDialog(
    title,
    () => html`<label>Copy it from here: this page may not write to the clipboard.
      <input readonly .value=${text} autofocus @focus=${chosen} @click=${chosen} /></label>`,
  );
}
