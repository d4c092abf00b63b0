/** What a reply holds besides text, reasoning and calls: citations, provider-run tools, media. */

import type { Annotation, ExecutedTool, MediaPiece } from "../protocol/events.js";
import type { ToolCall } from "./conversation.js";

/** A page or document that a reply cites. */
export interface Source {
  readonly name: string;
  /** Of a page; unchecked. */
  readonly url?: string;
}

/** A picture or sound: its base64 in one piece or several, or where else it is. */
export interface Media {
  readonly index: number;
  readonly type: string;
  readonly data: readonly string[];
  readonly url?: string;
}

/** The sources with those of more citations; each is listed once. */
export function withSources(sources: readonly Source[], annotations: unknown): readonly Source[] {
  const found = [...sources];
  for (const one of objects<Annotation>(annotations)) {
    const about = (one.url_citation ?? one.file_citation ?? {}) as { url?: unknown; title?: unknown; filename?: unknown };
    const url = text(about.url);
    const name = text(about.title) || text(about.filename) || url;
    if (name && !found.some((known) => (url ? known.url === url : known.name === name))) {
      found.push(url ? { name, url } : { name });
    }
  }
  return found;
}

/** The calls of tools that the provider ran, as other calls; their index is -1. */
export function executedCalls(executed: unknown): ToolCall[] {
  return objects<ExecutedTool>(executed).map((one) => ({
    index: -1,
    id: text(one.id),
    name: text(one.name),
    arguments: text(one.arguments),
    ...(one.output !== undefined && { output: typeof one.output === "string" ? one.output : JSON.stringify(one.output) }),
    ...(one.error === true && { failed: true as const }),
  }));
}

/** The media with more of them; a whole one replaces its previews. */
export function withMedia(media: readonly Media[], more: unknown): readonly Media[] {
  const found = [...media];
  for (const one of objects<MediaPiece>(more)) {
    const { media_type: type, index, data, url } = one;
    if (typeof type !== "string" || typeof index !== "number") continue;
    const place = found.findIndex((known) => known.index === index);
    const before = one.piece === true ? (found[place]?.data ?? []) : [];
    const made = {
      index,
      type,
      data: typeof data === "string" ? [...before, data] : before,
      ...(typeof url === "string" && { url }),
    };
    if (place < 0) found.push(made);
    else found[place] = made;
  }
  return found;
}

function objects<T extends object>(value: unknown): Partial<T>[] {
  return Array.isArray(value) ? value.filter((one): one is Partial<T> => typeof one === "object" && one !== null) : [];
}

/** The value if it is text, otherwise none. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
