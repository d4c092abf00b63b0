// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { type Account, ANYBODY, askWho, LastAccount, signOut, watchAccount } from "../../src/app/account.js";
import { LocalStore, scopeOf } from "../../src/app/local-store.js";
import type { Hub } from "../../src/client/hub.js";
import type { StatusListener } from "../../src/client/source.js";

const ROOT = "http://hub.example/my/";
const TOLD = { user: "ann", tenant: null, key: null, signed_in: "link", expires: null, allowed: true, folder: "chat/ann/", conversations: "__lists/a", methods: [] };
const ANN: Account = { user: "ann", subject: "ann", session: true, allowed: true, folder: "chat/ann/", conversations: "__lists/a", sharesByLink: true, methods: [] };

const fetched = vi.fn<typeof fetch>();
const answer = (body: unknown, status = 200): void => {
  fetched.mockImplementation(() => Promise.resolve(Response.json(body, { status })));
};

beforeEach(() => {
  localStorage.clear();
  vi.stubGlobal("fetch", fetched);
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

test("the hub says who uses the page", async () => {
  answer(TOLD);
  expect(await askWho(ROOT)).toEqual(ANN);
  expect(fetched.mock.calls[0]?.[0]).toEqual(new URL("http://hub.example/my/v1/me"));
});

test("users of two tenants are two, and no name is read as two parts", async () => {
  answer({ ...TOLD, tenant: "acme", user: "a/b" });
  expect((await askWho(ROOT))?.subject).toBe("acme/a%2Fb");
  answer({ ...TOLD, user: "acme/a%2Fb" });
  expect((await askWho(ROOT))?.subject).toBe("acme%2Fa%252Fb");
});

test.each([["link", true], ["header", true], ["application", false]])("who is known by %s makes share links: %s", async (signed_in, makes) => {
  answer({ ...TOLD, signed_in });
  expect((await askWho(ROOT))?.sharesByLink).toBe(makes);
  answer({ ...TOLD, user: null, signed_in: null });
  expect((await askWho(ROOT))?.sharesByLink).toBe(false);
});

test.each(["header", "key", "token", "application", null])("who is known by %s cannot sign out here", async (signed_in) => {
  answer({ ...TOLD, signed_in });
  expect((await askWho(ROOT))?.session).toBe(false);
});

test("a hub that does not answer says nothing, and one without the route knows no users", async () => {
  fetched.mockRejectedValue(new TypeError("network"));
  expect(await askWho(ROOT)).toBeUndefined();
  expect(await signOut(ROOT)).toBeUndefined();
  answer({}, 503);
  expect(await askWho(ROOT)).toBeUndefined();
  answer({}, 404);
  expect(await askWho(ROOT)).toEqual(ANYBODY);
});

test("to sign out may lead to the identity provider", async () => {
  fetched.mockResolvedValue(new Response(null, { status: 204 }));
  expect(await signOut(ROOT)).toBe("");
  answer({ url: "login/oidc/logout" });
  expect(await signOut(ROOT)).toBe("login/oidc/logout");
  answer({}, 503);
  expect(await signOut(ROOT)).toBeUndefined();
});

test("what is stored of one user is not another's", () => {
  const scopes = ["", "ann", "bob", "acme/ann"].map((subject) => scopeOf("http://hub.example/my/", subject));
  expect(scopes).toEqual(["/my/", "/my/@ann", "/my/@bob", "/my/@acme/ann"]);
  new LocalStore(scopes[1] ?? "").set("conversations", [1]);
  expect(new LocalStore(scopes[2] ?? "").get("conversations")).toBeUndefined();
});

test("the page is told once, when its user is another one", async () => {
  const last = new LastAccount(new LocalStore("/"));
  const changed = vi.fn();
  let listener: StatusListener = () => undefined;
  const onStatus = (one: StatusListener): (() => void) => {
    listener = one;
    return () => undefined;
  };
  answer(TOLD);
  watchAccount({ onStatus } as unknown as Hub, ROOT, ANN, last, changed);
  listener({ state: "live", via: "websocket" });
  expect(fetched).not.toHaveBeenCalled();
  listener({ state: "closed", code: "close_4502", message: "revoked" });
  await vi.waitFor(() => { expect(fetched).toHaveBeenCalledOnce(); }, { timeout: 20_000 });
  expect(changed).not.toHaveBeenCalled();
  answer({ ...TOLD, user: "bob" });
  last.set("bob");
  dispatchEvent(new StorageEvent("storage", { key: "streamhub:/:account" }));
  await vi.waitFor(() => { expect(changed).toHaveBeenCalledOnce(); }, { timeout: 20_000 });
  listener({ state: "closed", code: "close_4502", message: "revoked" });
  await Promise.resolve();
  expect(changed).toHaveBeenCalledOnce();
  expect(last.subject).toBe("bob");
});
