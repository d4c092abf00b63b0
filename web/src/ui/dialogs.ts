/**
 * Questions to the person: native modal dialogs, which keep the focus inside, close with Esc
 * and give the focus back. One at a time.
 */

import { html, render, type TemplateResult } from "lit";

import * as icons from "./icons.js";

/** Whether a dialog is open. */
export const dialogOpen = (): boolean => document.querySelector("dialog[open]") !== null;

/** Show a dialog until it is closed; gives what it was closed with, "" for Esc. */
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
  // A press on the backdrop has the dialog itself as its target, one inside never: it has no padding.
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

/** A question whose answer cannot be taken back. */
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

/** A line of text; "" where none was given. */
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

/** A text to be copied by hand, where the page may not do it. */
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
