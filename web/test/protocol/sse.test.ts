import { describe, expect, it } from "vitest";

import { type ServerEvent, ServerEvents } from "../../src/protocol/sse.js";
import { Chance } from "../support/random.js";

const TEXT =
  "retry: 1000\n\n: beat\n\nid: 1\ndata: {\"text\":\"你好🎆 é\"}\n\nevent: reset\nid: 2\ndata: {}\n\n" +
  "data: two\ndata:lines\ndata\n\nid\n\nevent: lost\n\r\ndata: a: b\r\n\r\ndata: old\r\rdata:  space\r\n\n: unended\ndata: never";
const EVENTS: ServerEvent[] = [
  { name: "", text: '{"text":"你好🎆 é"}', id: "1" },
  { name: "reset", text: "{}", id: "2" },
  { name: "", text: "two\nlines\n", id: "2" },
  { name: "", text: "a: b", id: "" },
  { name: "", text: "old", id: "" },
  { name: "", text: " space", id: "" },
];

const bytes = new TextEncoder().encode(TEXT);

describe("server-sent events", () => {
  it("are the same wherever their bytes are cut", () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      const parser = new ServerEvents();
      expect([...parser.feed(bytes.slice(0, cut)), ...parser.feed(bytes.slice(cut))]).toEqual(EVENTS);
    }
  });

  it("are the same when the bytes come one by one, or by chance", () => {
    for (let seed = 0; seed < 100; seed++) {
      const chance = new Chance(seed);
      const parser = new ServerEvents();
      const found: ServerEvent[] = [];
      for (let at = 0; at < bytes.length; ) {
        const end = at + (seed ? chance.below(9) : 1);
        found.push(...parser.feed(bytes.slice(at, end)));
        at = end;
      }
      expect(found).toEqual(EVENTS);
    }
  });
});
