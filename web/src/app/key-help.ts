/** The list of keys, and the switch for those that are keys alone. */

import { html } from "lit";

import { showDialog } from "../ui/dialogs.js";
import { KEYS } from "./keys.js";

export async function showKeys(singles: boolean, switched: (on: boolean) => void): Promise<void> {
  const change = (event: Event): void => {
    switched((event.target as HTMLInputElement).checked);
  };
  await showDialog(
    "Keys",
    () => html`<dl class="keys">
        ${KEYS.map(
          ({ keys, does }) => html`<div><dt>${does}</dt><dd>${keys.map((key) => html`<kbd>${key}</kbd>`)}</dd></div>`,
        )}
      </dl>
      <label class="switch"><input type="checkbox" .checked=${singles} @change=${change} />Keys alone do something, where nobody is typing</label>`,
  );
}
