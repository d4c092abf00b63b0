import { describe, expect, it } from "vitest";

import { accountOf } from "../../src/chat/account.js";

const jwt = (claims: unknown): string => `a.${btoa(JSON.stringify(claims)).replaceAll("=", "")}.c`;

describe("accountOf", () => {
  it("is the same for all tokens of a user, and tells nothing", () => {
    const of = (token: string) => accountOf({ token, account: undefined });
    const by = (account: string) => accountOf({ token: undefined, account });
    const ann = of(jwt({ iss: "i", sub: "ann", exp: 1, sid: "s1" }));
    expect(of(jwt({ iss: "i", sub: "ann", exp: 2, sid: "s2" }))).toBe(ann);
    const others = [jwt({ iss: "i", sub: "bob" }), jwt({ iss: "j", sub: "ann" }), jwt({ iss: "i", sub: "ann", tenant: "acme" })];
    const all = [ann, ...[...others, "sh_one.secret", "sh_two.secret", jwt({})].map(of), by("user/ann"), by("7")];
    expect(new Set(all).size).toBe(all.length);
    for (const one of all) expect(one).toMatch(/^[0-9a-f]{16}$/);
    expect(by("")).toBe("");
  });

  it("is known when a function returns a token", async () => {
    const token = jwt({ iss: "i", sub: "ann" });
    await expect(accountOf({ token: () => token, account: "bob" })).resolves.toBe(accountOf({ token, account: undefined }));
  });
});
