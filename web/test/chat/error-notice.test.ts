import { describe, expect, it } from "vitest";

import { errorNotice, gone } from "../../src/chat/error-notice.js";
import { HubError } from "../../src/protocol/errors.js";

describe("an error notice", () => {
  it("says what to do and that nothing is lost", () => {
    expect(errorNotice(new HubError("unreachable", "x", 0), "Your text is kept").text).toMatch(/cannot be reached. Your text is kept/);
    expect(errorNotice(new HubError("busy", "too many", 429))).toEqual({ text: "Too many. Try again in a moment.", code: "busy" });
    expect(errorNotice(new HubError("stream_deleted", "it was deleted")).text).toMatch(/^It was deleted\./);
    expect(errorNotice(new HubError("bad", "too long", 413))).toEqual({ text: "Too long.", code: "bad" });
    expect(errorNotice("?")).toEqual({ text: "Something went wrong. Try again in a moment." });
  });

  it("knows an error by its fields, from whatever bundle", () => {
    expect(gone(Object.assign(new Error("x"), { status: 404 }))).toBe(true);
    expect(gone(new HubError("stream_deleted", "x", 409))).toBe(true);
    expect(gone(new Error("x"))).toBe(false);
  });
});
