/** Copying to the clipboard, and saving files. */

import { showText } from "./dialogs.js";
import { notice } from "./notice.js";

/** Copy a text, also without the clipboard API (plain HTTP); returns whether it succeeded. */
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

/** Copy a text or, if the page may not (plain HTTP, no permission), show it to be copied. */
export async function copyOrShow(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied`);
  } catch {
    // Not allowed, or a TypeError: outside secure contexts there is no clipboard.
    await showText(what, text);
  }
}

/** Save a file. */
export function saveFile(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Only after the browser has taken it, in a later turn of the event loop.
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 60_000);
  notice(`${name} saved`);
}
