/** What can be done with a conversation as a whole: the choices of the page's menus. */

import type { State } from "../client/state.js";
import { askText, askWhether } from "./dialogs.js";
import { asJson, asMarkdown, fileName, type About } from "./exports.js";
import { copy, save } from "./handing.js";
import type { Choice } from "./menu.js";
import { notice } from "./notice.js";
import { linkTo } from "./route.js";
import type { Entry, Shelf } from "./shelf.js";

export function shareChoices(name: string): Choice[] {
  return [
    {
      label: "Copy link",
      hint: "Whoever has it takes part",
      icon: "link",
      run: () => void copy(linkTo("conversation", name), "Link"),
    },
    {
      label: "Copy read-only link",
      hint: "Shows it, live, without a composer",
      icon: "eye",
      run: () => void copy(linkTo("view", name), "Read-only link"),
    },
  ];
}

export function exportChoices(title: string, name: string, state: () => State): Choice[] {
  const about = (): About => ({
    title,
    name,
    link: linkTo("conversation", name),
    at: new Date().toISOString(),
  });
  return [
    {
      label: "Markdown",
      hint: "To read and to paste",
      icon: "save",
      run: () => { save(fileName(title, "md"), "text/markdown", asMarkdown(state(), about())); },
    },
    {
      label: "JSON",
      hint: "Everything, for programs",
      icon: "save",
      run: () => { save(fileName(title, "json"), "application/json", asJson(state(), about())); },
    },
  ];
}

/** `left`: the conversation is gone from the list. */
export function entryChoices(entry: Entry, shelf: Shelf, hub: string, left: (name: string) => void): Choice[] {
  const { name, title } = entry;
  return [
    { label: "Rename", icon: "pencil", run: () => void rename(entry, shelf) },
    {
      label: "Copy link",
      icon: "link",
      run: () => void copy(linkTo("conversation", name), "Link"),
    },
    {
      label: "Remove from the list",
      hint: "It stays at the hub",
      icon: "close",
      run: () => {
        shelf.remove(name);
        left(name);
      },
    },
    {
      label: "Delete…",
      icon: "trash",
      danger: true,
      run: () => void erase(name, title, shelf, hub, left),
    },
  ];
}

async function rename({ name, title }: Entry, shelf: Shelf): Promise<void> {
  const given = await askText("Rename the conversation", "Title, in this browser", title);
  if (given) shelf.put(name, { title: given, named: true });
}

async function erase(
  name: string,
  title: string,
  shelf: Shelf,
  hub: string,
  left: (name: string) => void,
): Promise<void> {
  const text = `“${title}” is deleted at the hub, for everybody who has its link. This cannot be undone.`;
  if (!(await askWhether("Delete the conversation?", text, "Delete"))) return;
  const failed = await deleted(name, hub);
  if (failed) {
    notice(`It was not deleted: ${failed}`);
    return;
  }
  shelf.remove(name);
  left(name);
  notice("Conversation deleted");
}

/** Delete the stream; gives why it was not, if so. One that is not there is as good as deleted. */
async function deleted(name: string, hub: string): Promise<string | undefined> {
  const path = name.split("/").map(encodeURIComponent).join("/");
  try {
    const answer = await fetch(new URL(`v1/stream/${path}`, hub), { method: "DELETE" });
    if (answer.ok || answer.status === 404 || answer.status === 410) return undefined;
    const { error } = (await answer.json()) as { error?: { message?: string } };
    return error?.message ?? `the hub answered ${answer.status}`;
  } catch {
    return "the hub cannot be reached";
  }
}
