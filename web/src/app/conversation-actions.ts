/** Actions on a whole conversation: the items of the page's menus. */

import type { State } from "../model/conversation.js";
import { type About, asJson, asMarkdown, fileName } from "../model/export.js";
import { copyOrShow, saveFile } from "../ui/clipboard.js";
import { askText, askWhether } from "../ui/dialogs.js";
import * as icons from "../ui/icons.js";
import type { Choice } from "../ui/menu.js";
import { notice } from "../ui/notice.js";
import type { ConversationList, Entry } from "./conversation-list.js";
import { linkTo } from "./route.js";

/** `links`: show the hub's share links, if it has them. */
export function shareChoices(name: string, links?: () => void): Choice[] {
  const byLink: Choice[] = links
    ? [{ label: "Share by link…", hint: "Read-only, for people without an account", icon: icons.share, run: links }]
    : [];
  return [
    ...byLink,
    {
      label: "Copy link",
      hint: links ? "For those who may take part" : "Anyone who has it can take part",
      icon: icons.link,
      run: () => void copyOrShow(linkTo("conversation", name), "Link"),
    },
    {
      label: "Copy read-only link",
      hint: "Shows it live, without a composer",
      icon: icons.eye,
      run: () => void copyOrShow(linkTo("view", name), "Read-only link"),
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
      hint: "For reading and pasting",
      icon: icons.save,
      run: () => { saveFile(fileName(title, "md"), "text/markdown", asMarkdown(state(), about())); },
    },
    {
      label: "JSON",
      hint: "Complete, for programs",
      icon: icons.save,
      run: () => { saveFile(fileName(title, "json"), "application/json", asJson(state(), about())); },
    },
  ];
}

/** `left` is called when the conversation is gone from the list. */
export function entryChoices(entry: Entry, list: ConversationList, hub: string, left: (name: string) => void): Choice[] {
  const { name, title, pinned } = entry;
  return [
    pinned
      ? { label: "Unpin", icon: icons.pin, run: () => { list.put(name, { pinned: undefined }); } }
      : { label: "Pin", hint: "Keeps it above the others", icon: icons.pin, run: () => { list.put(name, { pinned: true }); } },
    { label: "Rename", icon: icons.edit, run: () => void rename(entry, list) },
    {
      label: "Copy link",
      icon: icons.link,
      run: () => void copyOrShow(linkTo("conversation", name), "Link"),
    },
    {
      label: "Remove from the list",
      hint: "It stays on the hub",
      icon: icons.close,
      run: () => {
        list.remove(name);
        left(name);
      },
    },
    {
      label: "Delete…",
      icon: icons.trash,
      danger: true,
      run: () => void erase(name, title, list, hub, left),
    },
  ];
}

async function rename({ name, title }: Entry, list: ConversationList): Promise<void> {
  const given = await askText("Rename the conversation", list.shared ? "Title, on all your devices" : "Title, in this browser", title);
  if (given) list.put(name, { title: given, named: true });
}

async function erase(
  name: string,
  title: string,
  list: ConversationList,
  hub: string,
  left: (name: string) => void,
): Promise<void> {
  const text = `“${title}” will be deleted from the hub, for everybody who has its link. This cannot be undone.`;
  if (!(await askWhether("Delete the conversation?", text, "Delete"))) return;
  const failed = await deleteStream(name, hub);
  if (failed) {
    notice(`It was not deleted: ${failed}`);
    return;
  }
  list.remove(name);
  left(name);
  notice("Conversation deleted");
}

/** Delete the stream; returns the error, if any. A missing stream counts as deleted. */
async function deleteStream(name: string, hub: string): Promise<string | undefined> {
  const path = name.split("/").map(encodeURIComponent).join("/");
  try {
    const answer = await fetch(new URL(`v1/stream/${path}`, hub), { method: "DELETE" });
    if (answer.ok || answer.status === 404 || answer.status === 410) return undefined;
    const { error } = (await answer.json()) as { error?: { message?: string } };
    return error?.message ?? `the hub responded with status ${answer.status}`;
  } catch {
    return "the hub cannot be reached";
  }
}
