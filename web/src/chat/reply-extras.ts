/** The pictures, sounds and sources of a reply. */

import { html, nothing } from "lit";

import { says, target } from "../markdown/links.js";
import type { Media, Source } from "../model/reply-extras.js";
import { isPicture, mediaUrl } from "./media-url.js";

/** Media below the text; sounds of a running reply are not yet complete. */
export function mediaOf(media: readonly Media[], running: boolean): unknown {
  return media.map((one, place) => {
    const what = `${isPicture(one) ? "Picture" : "Sound"} ${place + 1} of this answer`;
    if (one.url !== undefined) return linked({ name: what, url: one.url }, "p");
    if (!isPicture(one) && running) return nothing;
    const url = mediaUrl(one);
    if (url === null) return html`<p class="media">${what} cannot be shown here (${one.type}).</p>`;
    return isPicture(one)
      ? html`<img class="media" alt=${`${what}, made by the model`} src=${url}>`
      : html`<audio class="media" controls aria-label=${`${what}, made by the model`} src=${url}></audio>`;
  });
}

/** The pages and documents that a reply cites. */
export function sourcesOf(sources: readonly Source[]): unknown {
  return html`<section class="sources" aria-label="Sources">
    <p>Sources</p>
    <ol>${sources.map((one) => linked(one, "li"))}</ol>
  </section>`;
}

/** A link to a page with its host, or only its name if it must not be followed. */
function linked({ name, url }: Source, kind: "li" | "p"): unknown {
  const where = url === undefined ? null : target(url);
  const link = where
    ? html`<a href=${where.href} target="_blank" rel="noopener noreferrer nofollow"><bdi>${name}</bdi></a>
        ${says(name, where.host) ? nothing : html`<span class="host">${where.host}</span>`}`
    : html`<bdi>${name}</bdi>`;
  return kind === "li" ? html`<li dir="auto">${link}</li>` : html`<p class="media">${link}</p>`;
}
