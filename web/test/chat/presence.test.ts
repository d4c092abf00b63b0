import { describe, expect, it } from "vitest";

import { presenceText } from "../../src/chat/presence.js";

describe("presence", () => {
  const other = (state: unknown) => ({ member: "m", state, self: false });
  const me = { member: "me", state: { typing: true }, self: true };

  it("counts the others and not oneself", () => {
    expect(presenceText([me])).toBe("");
    expect(presenceText([me, other({})])).toBe("1 other is here");
    expect(presenceText([me, other(null), other("?")])).toBe("2 others are here");
  });

  it("tells who types, whatever else they say of themselves", () => {
    expect(presenceText([me, other({ typing: true }), other({})])).toBe("Somebody is typing…");
    expect(presenceText([other({ typing: true, name: "Ada" })])).toBe("Ada is typing…");
    expect(presenceText([other({ typing: "yes", name: 7 })])).toBe("1 other is here");
    expect(presenceText([other({ typing: true }), other({ typing: true })])).toBe("2 others are typing…");
  });
});
