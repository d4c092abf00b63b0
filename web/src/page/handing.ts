/** Handing something out of the page: to the clipboard, into a file. */

import { showText } from "./dialogs.js";
import { notice } from "./notice.js";

/** Copy a text; where the page may not (plain HTTP on a network, no permission), show it to be copied. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied`);
  } catch {
    // Not allowed; or a TypeError: where the page is no secure context there is no clipboard.
    await showText(what, text);
  }
}

/** Give a file to save. */
export function save(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Not before the browser has taken it, which it does in a later turn.
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 60_000);
  notice(`${name} saved`);
}
