// @vitest-environment happy-dom
import { render } from "lit";
import { describe, expect, it } from "vitest";

import { mediaUrl } from "../../src/chat/media-url.js";
import { mediaOf, sourcesOf } from "../../src/chat/reply-extras.js";
import { Tools } from "../../src/chat/tool-calls.js";
import type { Media } from "../../src/model/reply-extras.js";

const media = (type: string, ...data: string[]): Media => ({ index: 0, type, data });

function drawn(what: unknown): HTMLElement {
  const host = document.createElement("div");
  render(what, host);
  return host;
}

describe("the URL of media", () => {
  it("is made for pictures and sounds that run nothing", () => {
    expect(mediaUrl(media("image/png", "AAAA"))).toBe("data:image/png;base64,AAAA");
    expect(mediaUrl(media("image/*", "AAAA"))).toBe("data:image/png;base64,AAAA");
    expect(mediaUrl(media("audio/mpeg", "AAAA"))).toBe("data:audio/mpeg;base64,AAAA");
    for (const type of ["image/svg+xml", "text/html", "application/pdf", "image/png,x", "video/mp4"]) {
      expect(mediaUrl(media(type, "AAAA"))).toBeNull();
    }
    expect(mediaUrl(media("image/png", 'AAAA" onerror="'))).toBeNull();
    expect(mediaUrl(media("image/png"))).toBeNull();
  });

  it("joins pieces that are base64 each by itself", () => {
    expect(mediaUrl(media("audio/wav", btoa("a"), btoa("bc")))).toBe(`data:audio/wav;base64,${btoa("abc")}`);
  });

  it("makes a WAV file of samples", () => {
    const url = mediaUrl(media("audio/L16;rate=16000", btoa("ab"), btoa("cd"))) ?? "";
    const file = atob(url.replace("data:audio/wav;base64,", ""));
    expect([file.slice(0, 4), file.slice(8, 16), file.slice(44)]).toEqual(["RIFF", "WAVEfmt ", "abcd"]);
    const bytes = Uint8Array.from(file, (one) => one.charCodeAt(0));
    expect(new DataView(bytes.buffer).getUint32(24, true)).toBe(16_000);
    const usual = atob((mediaUrl(media("audio/pcm16", btoa("ab"))) ?? "").slice(22));
    expect(new DataView(Uint8Array.from(usual, (one) => one.charCodeAt(0)).buffer).getUint32(24, true)).toBe(24_000);
  });
});

describe("below an answer", () => {
  it("stand pictures with a text and sounds with controls", () => {
    const host = drawn(mediaOf([media("image/png", "AAAA"), media("audio/wav", "AAAA"), media("image/svg+xml", "AAAA")], false));
    expect(host.querySelector("img")?.alt).toBe("Picture 1 of this answer, made by the model");
    const sound = host.querySelector("audio");
    expect([sound?.hasAttribute("controls"), sound?.getAttribute("aria-label")]).toEqual([true, "Sound 2 of this answer, made by the model"]);
    expect(host.textContent).toContain("Picture 3 of this answer cannot be shown here (image/svg+xml).");
  });

  it("wait sounds until they are whole", () => {
    expect(drawn(mediaOf([media("audio/wav", "AAAA")], true)).querySelector("audio")).toBeNull();
  });

  it("are pictures that lie elsewhere linked, not loaded", () => {
    const host = drawn(mediaOf([{ ...media("image/*"), url: "https://a.example/x.png" }], false));
    expect(host.querySelector("img")).toBeNull();
    expect(host.querySelector("a")?.href).toBe("https://a.example/x.png");
  });

  it("stand sources as links that show their host, if they may be followed", () => {
    const host = drawn(
      sourcesOf([
        { name: "A page", url: "https://a.example/x" },
        { name: "https://b.example", url: "https://b.example" },
        { name: "evil", url: "javascript:alert(1)" },
        { name: "a.pdf" },
      ]),
    );
    const links = [...host.querySelectorAll("a")];
    expect(links.map((link) => [link.href, link.rel, link.target])).toEqual([
      ["https://a.example/x", "noopener noreferrer nofollow", "_blank"],
      ["https://b.example/", "noopener noreferrer nofollow", "_blank"],
    ]);
    const items = [...host.querySelectorAll("li")].map((item) => item.textContent.replace(/\s+/g, " ").trim());
    expect(items).toEqual(["A page a.example", "https://b.example", "evil", "a.pdf"]);
  });
});

describe("a call of the provider's", () => {
  it("shows its result, folded if it is long", async () => {
    const tools = new Tools();
    tools.calls = [{ index: -1, id: "s", name: "web_search", arguments: "{}", output: "x".repeat(5_000), failed: true }];
    document.body.append(tools);
    await tools.updateComplete;
    const blocks = (): (string | null)[] => [...tools.querySelectorAll("pre")].map((block) => block.getAttribute("aria-label"));
    expect(blocks()).toEqual(["Arguments", "Error"]);
    const result = (): number | undefined => tools.querySelectorAll("pre")[1]?.textContent.length;
    expect(result()).toBe(4_000);
    tools.querySelector("button")?.click();
    await tools.updateComplete;
    expect(result()).toBe(5_000);
    expect(tools.querySelector("button")?.textContent).toBe("Show less");
  });
});
