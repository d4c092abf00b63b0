/** The page's requests for share links, and what it makes of the hub's answers. */

import { afterEach, describe, expect, it, vi } from "vitest";

import { shareChoices } from "../../src/app/conversation-actions.js";
import { Refused, ShareLinks } from "../../src/app/share-links.js";

const HUB = "https://hub.example/at/";

interface Asked {
  readonly url: string;
  readonly method: string;
  readonly body: unknown;
}

function answering(status: number, body?: unknown): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", (url: URL, init?: RequestInit) => {
    asked.push({
      url: url.href,
      method: init?.method ?? "GET",
      body: typeof init?.body === "string" ? (JSON.parse(init.body) as unknown) : undefined,
    });
    return Promise.resolve(new Response(body === undefined ? null : JSON.stringify(body), { status }));
  });
  return asked;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("share links", () => {
  it("are made below the hub's own address, also if a proxy has stripped its prefix", async () => {
    const asked = answering(201, { url: "/s/secret" });
    const link = await new ShareLinks(HUB, "chat/7").create({ live: false, lasts: 60 });
    expect(link).toBe("https://hub.example/at/s/secret");
    expect(asked).toEqual([
      { url: `${HUB}v1/shares`, method: "POST", body: { stream: "chat/7", until: "now", expires_in: 60 } },
    ]);
  });

  it("name the branch that is shown where it is not the conversation's own", async () => {
    answering(201, { url: "/s/secret" });
    const link = await new ShareLinks(HUB, "chat/7").create({ live: true, lasts: undefined, branch: "0_1" });
    expect(link).toBe("https://hub.example/at/s/secret#0_1");
  });

  it("last until they are revoked if nothing else is said", async () => {
    const asked = answering(201, { url: "/s/secret" });
    await new ShareLinks(HUB, "chat/7").create({ live: true, lasts: undefined });
    expect(asked[0]?.body).toEqual({ stream: "chat/7", until: "live" });
  });

  it("are listed and revoked", async () => {
    const listed = answering(200, { shares: [{ id: "a" }], more: false });
    expect(await new ShareLinks(HUB, "chat/7").list()).toEqual([{ id: "a" }]);
    expect(listed[0]?.url).toBe(`${HUB}v1/shares?stream=chat%2F7&limit=1000`);
    const revoked = answering(204);
    await new ShareLinks(HUB, "chat/7").revoke("a/b");
    expect(revoked).toEqual([{ url: `${HUB}v1/shares/a%2Fb`, method: "DELETE", body: undefined }]);
  });

  it("are refused in the hub's words", async () => {
    answering(403, { error: { code: "not_permitted", message: "no" } });
    await expect(new ShareLinks(HUB, "s").list()).rejects.toEqual(new Refused("not_permitted", "no"));
    answering(502);
    await expect(new ShareLinks(HUB, "s").list()).rejects.toThrow("status 502");
  });
});

describe("the menu", () => {
  it("shares the conversation's own address where there are no share links", () => {
    expect(shareChoices("chat/7").map(({ label }) => label)).toEqual(["Copy link", "Copy read-only link"]);
    expect(shareChoices("chat/7", () => undefined)[0]?.label).toBe("Share by link…");
  });
});
