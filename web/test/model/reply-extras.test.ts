import { describe, expect, it } from "vitest";

import { type AssistantMessage, EMPTY, fold } from "../../src/model/conversation.js";
import { asMarkdown } from "../../src/model/export.js";
import type { HubEvent } from "../../src/protocol/events.js";

const position = (offset: number): string => `${"0".repeat(16)}_${String(offset).padStart(16, "0")}`;

const folded = (...deltas: object[]): AssistantMessage => {
  const state = deltas
    .map((more): HubEvent => ({ type: "delta", generation: "g", ...more }))
    .reduce((before, event, i) => fold(before, { event, position: position(i + 1) }), EMPTY);
  return state.turns[0] as AssistantMessage;
};

const page = (url: string, title?: string): object => ({ type: "url_citation", url_citation: { url, ...(title && { title }) } });

describe("what a reply holds besides text", () => {
  it("lists each source once", () => {
    const document = { type: "file_citation", file_citation: { filename: "a.pdf", index: 0 } };
    const { sources } = folded({ annotations: [page("https://a.example", "A"), document] }, { annotations: [page("https://a.example"), document, page("https://b.example")] });
    expect(sources).toEqual([
      { name: "A", url: "https://a.example" },
      { name: "a.pdf" },
      { name: "https://b.example", url: "https://b.example" },
    ]);
  });

  it("has the provider's calls among the others, with their results", () => {
    const run = { name: "web_search", id: "s1", arguments: '{"query":"a"}', output: [{ url: "x" }], error: true };
    const { tools } = folded({ executed_tools: [run] }, { tool: { index: 0, id: "c", name: "look", arguments: "{}" } });
    expect(tools).toEqual([
      { index: -1, id: "s1", name: "web_search", arguments: '{"query":"a"}', output: '[{"url":"x"}]', failed: true },
      { index: 0, id: "c", name: "look", arguments: "{}" },
    ]);
  });

  it("replaces a preview and joins the pieces of a sound", () => {
    const { media } = folded(
      { media: [{ media_type: "image/png", data: "AAAA", index: 0, preview: true }] },
      { media: [{ media_type: "image/png", data: "BBBB", index: 0 }] },
      { media: [{ media_type: "audio/pcm16", data: "CC==", index: 1, piece: true }] },
      { media: [{ media_type: "audio/pcm16", data: "DD==", index: 1, piece: true }] },
      { media: [{ media_type: "image/*", url: "https://a.example/x.png", index: 2 }] },
    );
    expect(media).toEqual([
      { index: 0, type: "image/png", data: ["BBBB"] },
      { index: 1, type: "audio/pcm16", data: ["CC==", "DD=="] },
      { index: 2, type: "image/*", data: [], url: "https://a.example/x.png" },
    ]);
  });

  it("ignores what has another form", () => {
    const reply = folded({ annotations: "x", executed_tools: [null, 3], media: [{ index: "0" }, null] }, { annotations: [{}], media: 1 });
    expect([reply.sources, reply.tools, reply.media]).toEqual([[], [], []]);
  });

  it("is in the exported text", () => {
    const state = { ...EMPTY, turns: [folded({ annotations: [page("https://a.example", "A")] }, { executed_tools: [{ name: "search", output: "found" }] })] };
    const text = asMarkdown(state, { title: "T", link: "l", at: "t" } as Parameters<typeof asMarkdown>[1]);
    expect(text).toContain("**Sources:**\n\n- A: https://a.example");
    expect(text).toContain("> **Result**\n>\n> found");
  });
});
