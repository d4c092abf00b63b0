/**
 * The meaning of the fragment of the address.
 *
 * | address       | shows                                                          |
 * | ------------- | -------------------------------------------------------------- |
 * | `#/c/NAME`    | a conversation                                                 |
 * | `#/v/NAME`    | the same, read-only                                            |
 * | nothing       | a new conversation                                             |
 * | `#NAME`       | a conversation, in the format of older links                   |
 * | anything else | a plain message                                                |
 *
 * A fragment lets one file serve them all, under any prefix. It also keeps the name, which is
 * all that one needs to take part, out of server logs.
 */

import { isName } from "./names.js";

export type Route =
  | { readonly kind: "conversation" | "view"; readonly name: string }
  | { readonly kind: "new" }
  | { readonly kind: "unknown"; readonly what: string };

export function routeOf(hash: string): Route {
  const text = decoded(hash.replace(/^#/, ""));
  if (text === undefined) return { kind: "unknown", what: hash };
  if (text === "" || text === "/") return { kind: "new" };
  const [letter, name] = /^\/[cv]\//.test(text) ? [text[1], text.slice(3)] : ["c", text];
  if (!isName(name)) return { kind: "unknown", what: text };
  return { kind: letter === "v" ? "view" : "conversation", name };
}

export function hashOf(kind: "conversation" | "view", name: string): string {
  const path = name.split("/").map(encodeURIComponent).join("/");
  return `#/${kind === "view" ? "v" : "c"}/${path}`;
}

/** The whole address, to share. */
export function linkTo(kind: "conversation" | "view", name: string, here = location.href): string {
  return new URL(hashOf(kind, name), here).href;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
