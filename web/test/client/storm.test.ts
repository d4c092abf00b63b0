/** Everything at once, by chance: whoever follows comes to the text that the hub has. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Connection } from "../../src/client/connection.js";
import { followConversation } from "../../src/client/follow-conversation.js";
import { handle } from "../../src/client/subscription.js";
import { EMPTY, fold, type State } from "../../src/model/conversation.js";
import { FakeServer, URL_OF_HUB } from "../support/fake-server.js";
import { shown, Story } from "../support/story.js";

// The clock is a fake, but a busy machine is slow by any other.
vi.setConfig({ testTimeout: 60_000 });

const S = "chat/1";
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => { vi.useFakeTimers(); });

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe.each(["open", "refused"] as const)("whatever happens (WebSockets %s)", (websockets) => {
  it.each(Array.from({ length: 12 }, (_, i) => i + 1))("all come to the same text (%i)", async (seed) => {
    const hub = new FakeServer(seed);
    hub.websockets = websockets;
    hub.doubles = true;
    const { chance } = hub;
    vi.spyOn(Math, "random").mockImplementation(() => chance.below(1000) / 1000);
    const stream = hub.stream(S);
    let story = new Story(chance);
    const connection = new Connection(URL_OF_HUB, () => undefined);
    const seen: State[] = [];
    const follow = (i: number): (() => void) => {
      seen[i] = EMPTY;
      return followConversation(
        (from, handlers) => connection.follow(S, from, (signal) => { handle(signal, handlers); }),
        (state) => { seen[i] = state; },
      );
    };
    const stops = [follow(0), follow(1)];
    for (let step = 0; step < 150; step++) {
      stream.append(...Array.from({ length: chance.below(20) }, () => story.next()));
      if (chance.once(12)) hub.cut();
      if (chance.once(25)) {
        hub.cut();
        stream.crash(chance.below(15));
        // What was running was cut off with the process.
        story = new Story(chance);
      }
      if (chance.once(30)) connection.offline();
      if (chance.once(10)) connection.retry();
      if (chance.once(10)) {
        const i = chance.below(7);
        stops[i]?.();
        stops[i] = follow(i);
      }
      await pass(chance.below(chance.pick([3, 50, 3000])));
    }
    await pass(120_000);
    connection.retry();
    stream.append({ type: "message", role: "user", text: "end" });
    await pass(60_000);
    const expected = shown(stream.items().reduce(fold, EMPTY));
    expect(seen.filter(Boolean).length).toBeGreaterThan(2);
    for (const one of seen.filter(Boolean)) expect(shown(one)).toEqual(expected);
    expect(hub.bodies.size).toBeLessThanOrEqual(websockets === "open" ? 0 : 1);
    connection.close();
    expect(hub.sockets.size + hub.bodies.size).toBe(0);
  });
});
