/** Handing something out of the page: to the clipboard, or into a file. */

import { showText } from "./dialogs.js";
import { notice } from "./notice.js";

/** Copy a text, also where the page has no right to the modern way (plain HTTP); gives whether it was. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.setAttribute("aria-hidden", "true");
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way without a secure context
  const copied = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  return copied;
}

/** Copy a text; where the page may not (plain HTTP on a network, no permission), show it to be copied. */
export async function copyOrShow(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied`);
  } catch {
    // Not allowed; or a TypeError: where the page is no secure context there is no clipboard.
    await showText(what, text);
  }
}

/** Give a file to save. */
export function saveFile(name: string, type: string, text: string): void {
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
