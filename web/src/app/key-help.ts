/** The list of keyboard shortcuts, and the switch for those of a single key. */

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
      <label class="switch"><input type="checkbox" .checked=${singles} @change=${change} />Enable single keys, while nobody is typing</label>`,
  );
}
