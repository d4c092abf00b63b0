/**
 * What the hub itself writes, read by the library: `tests/end_to_end/test_client_library.py` runs this with
 * frames of the hub's encoders (`STREAMHUB_FRAMES`, a file), with a hub (`STREAMHUB_URL`), and with a
 * hub that wants tokens (`STREAMHUB_ISSUER`). Without them there is nothing to read.
 */

import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";

import { followConversation } from "../../src/client/follow-conversation.js";
import { HttpLink } from "../../src/client/http-link.js";
import { connect, type Hub } from "../../src/client/hub.js";
import { SocketLink } from "../../src/client/socket-link.js";
import type { Handlers } from "../../src/client/source.js";
import { EMPTY, type State } from "../../src/model/conversation.js";
import type { Sink } from "../../src/protocol/frames.js";
import { Chance } from "../support/random.js";
import { shown } from "../support/story.js";

vi.setConfig({ testTimeout: 60_000 });

interface Told {
  readonly name: string;
  /** The texts of WebSocket frames, or the bytes of a response of `POST /v1/follow`, in base64. */
  readonly websocket: readonly string[];
  readonly follow: string;
  readonly expected: Record<string, unknown>;
}

const { STREAMHUB_FRAMES: frames, STREAMHUB_URL: url, STREAMHUB_ISSUER: issuer } = process.env;

const until = async (done: () => boolean): Promise<void> => vi.waitFor(() => { expect(done()).toBe(true); }, { timeout: 20_000, interval: 20 });

/** A follower's side of a sink, which folds. */
function folding(): { sink: Sink; state: () => State } {
  let handlers: Handlers | undefined;
  let state: State = EMPTY;
  followConversation(
    (_from, given) => {
      handlers = given;
      return () => undefined;
    },
    (now) => { state = now; },
  );
  return {
    sink: {
      begun: () => undefined,
      items: (items) => handlers?.items(items),
      reset: (position, reason) => handlers?.reset?.(position, reason),
      closed: () => handlers?.closed?.(),
      refused: (error) => { throw error; },
    },
    state: () => state,
  };
}

describe.skipIf(frames === undefined)("what the encoders produce", () => {
  const all = frames === undefined ? [] : (JSON.parse(readFileSync(frames, "utf8")) as Told[]);

  afterEach(() => { vi.unstubAllGlobals(); });

  it("is all there", () => { expect(all.length).toBeGreaterThan(4); });

  it.each(all)("folds over the WebSocket as it does in Python: $name", ({ websocket, expected }) => {
    const socket = { readyState: 1, send: vi.fn(), close: vi.fn(), onmessage: null as unknown as (event: { data: string }) => void };
    const made = function (): typeof socket {
      return socket;
    };
    vi.stubGlobal("WebSocket", Object.assign(made, { OPEN: 1 }));
    const { sink, state } = folding();
    const link = new SocketLink("ws://hub.test/v1/ws", {
      opened: () => undefined,
      lost: (why) => { throw new Error(why); },
      denied: (error) => { throw error; },
      dismissed: (code) => { throw new Error(code); },
    });
    link.follow("s", "start", sink);
    socket.onmessage({ data: '{"type":"ok","id":1,"stream":"s","position":null,"tail":null}' });
    for (const data of websocket) socket.onmessage({ data });
    link.close();
    expect(shown(state())).toEqual(expected);
  });

  it.each(all)("folds over one response for many streams as it does in Python: $name", async ({ follow, expected }) => {
    for (let seed = 0; seed < 2; seed++) {
      const chance = new Chance(seed);
      const bytes = Buffer.from(follow, "base64");
      const body = new ReadableStream({
        start(controller) {
          for (let at = 0; at < bytes.length; ) {
            const end = at + 1 + chance.below(seed ? 500 : 1);
            controller.enqueue(new Uint8Array(bytes.subarray(at, end)));
            at = end;
          }
          controller.close();
        },
      });
      vi.stubGlobal("fetch", () => Promise.resolve(new Response(body)));
      const { sink, state } = folding();
      await new Promise<void>((over) => {
        const closed = (): void => {
          sink.closed();
          over();
        };
        const broken = (why: unknown): void => { throw new Error(String(why)); };
        const link = new HttpLink("http://hub.test/", { lost: broken, denied: broken });
        link.follow("s", "start", { ...sink, closed });
      });
      expect(shown(state())).toEqual(expected);
    }
  });
});

describe.skipIf(url === undefined || issuer !== undefined)("a hub that runs", () => {
  const seen = (hub: Hub, stream: string): (() => State) => {
    let state: State = EMPTY;
    hub.conversation(stream, (now) => { state = now; });
    return () => state;
  };

  it.each(["websocket", "sse"])("is asked, followed, stopped and forked (%s)", async (via) => {
    if (via === "sse") vi.stubGlobal("WebSocket", function () { throw new Error("blocked"); });
    const hub = connect(url ?? "", { shared: false });
    const other = connect(url ?? "", { shared: false });
    try {
      const stream = `library/${via}`;
      const [mine, theirs] = [seen(hub, stream), seen(other, stream)];
      expect(await hub.models()).toContain("demo");
      await until(() => hub.status.state === "live");
      expect(hub.status).toEqual({ state: "live", via });
      const { generation } = await hub.generate({ stream, prompt: "long" });
      await until(() => theirs().turns.some((turn) => turn.kind === "reply" && turn.text.length > 20));
      await other.cancel(generation);
      await until(() => mine().running.length === 0 && theirs().running.length === 0 && mine().turns.length === 2);
      expect(mine().turns[1]).toMatchObject({ state: "cancelled" });
      const position = await hub.append(stream, { type: "message", role: "user", text: "你好 🎆" });
      await until(() => mine().position === position && theirs().position === position);
      expect(shown(theirs())).toEqual(shown(mine()));
      await hub.fork(`${stream}/fork`, stream, mine().turns[1]?.before);
      const fork = seen(hub, `${stream}/fork`);
      await until(() => fork().turns.length === 1);
      expect(fork().turns).toEqual(mine().turns.slice(0, 1));
      // Who comes now is given it merged, and comes to the same.
      const late = seen(connect(url ?? "", { shared: false }), stream);
      await until(() => late().position === position);
      expect(shown(late())).toEqual(shown(mine()));
    } finally {
      hub.close();
      other.close();
      vi.unstubAllGlobals();
    }
  });

  it("is told what it refuses", async () => {
    const hub = connect(url ?? "", { shared: false });
    await expect(hub.generate({ stream: "bad name", prompt: "x" })).rejects.toMatchObject({ code: "bad_name", status: 400 });
    const follow = async (): Promise<void> => {
      for await (const told of hub.follow("bad name")) expect(told).toBeUndefined();
    };
    await expect(follow()).rejects.toMatchObject({ code: "bad_name" });
    hub.close();
  });

  it("shows who takes part", async () => {
    const [one, two] = [connect(url ?? "", { shared: false }), connect(url ?? "", { shared: false })];
    const members = new Map<Hub, readonly { state: unknown; self: boolean }[]>();
    const take = (hub: Hub, state: unknown) => hub.presence("library/presence", state, (now) => { members.set(hub, now); });
    const [first, second] = [take(one, "a"), take(two, "b")];
    await until(() => members.get(one)?.length === 2 && members.get(two)?.length === 2);
    expect(members.get(one)?.find(({ self }) => self)?.state).toBe("a");
    expect(members.get(two)?.find(({ self }) => self)?.state).toBe("b");
    first.set("A");
    await until(() => members.get(two)?.some(({ state }) => state === "A") ?? false);
    second.leave();
    await until(() => members.get(one)?.length === 1);
    one.close();
    two.close();
  });
});

describe.skipIf(issuer === undefined)("a hub that wants tokens", () => {
  const get = async (path: string): Promise<string> => (await fetch(`${issuer}${path}`)).text();

  /** A page with its statuses, the text of the stream's last reply, and whether it has ended. */
  const page = (token: () => Promise<string>) => {
    const hub = connect(url ?? "", { shared: false, token });
    const states: string[] = [];
    hub.onStatus((status) => states.push(status.state === "closed" ? status.code : status.state));
    const seen = (stream: string): (() => { text: string; ended: boolean }) => {
      let last = { text: "", ended: false };
      hub.conversation(stream, ({ turns, running }) => {
        const reply = turns.at(-1);
        last = { text: reply?.kind === "reply" ? reply.text : "", ended: reply?.kind === "reply" && running.length === 0 };
      });
      return () => last;
    };
    return { hub, states, seen };
  };

  const whole = async (stream: string): Promise<string> => {
    const answer = await fetch(`${url}v1/live/${stream}?format=text`, { headers: { Authorization: `Bearer ${await get("/token?seconds=60")}` } });
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    const first = await reader?.read();
    await reader?.cancel();
    return first?.value ?? "";
  };

  it.each(["websocket", "sse"])("is followed for longer than a token lasts (%s)", async (via) => {
    if (via === "sse") vi.stubGlobal("WebSocket", function () { throw new Error("blocked"); });
    let tokens = 0;
    const { hub, states, seen } = page(() => {
      tokens++;
      return get("/token?seconds=2");
    });
    try {
      const stream = `chat/ann/${via}`;
      const last = seen(stream);
      await hub.generate({ stream, prompt: "poem", upstream: "slow" });
      await until(() => last().ended);
      expect(last().text).toBe(await whole(stream));
      expect(tokens).toBeGreaterThan(3);
      if (via === "websocket") expect(states).toEqual(["connecting", "live"]);
    } finally {
      hub.close();
      vi.unstubAllGlobals();
    }
  });

  it("is come back to with a new token after the old one has expired", async () => {
    const first = await get("/token?seconds=2");
    let denied = false;
    const { hub, states, seen } = page(() => (denied ? get("/token?seconds=60") : Promise.resolve(first)));
    hub.onStatus(({ state }) => (denied ||= state === "offline"));
    const last = seen("chat/ann/back");
    await hub.generate({ stream: "chat/ann/back", prompt: "poem", upstream: "slow" });
    await until(() => last().ended);
    expect(last().text).toBe(await whole("chat/ann/back"));
    expect(states.slice(0, 3)).toEqual(["connecting", "live", "offline"]);
    expect(states.at(-1)).toBe("live");
    hub.close();
  });

  it("ends the connection of a revoked key, and says so", async () => {
    const key = await get("/key");
    const { hub, states } = page(() => Promise.resolve(key));
    await until(() => hub.status.state === "live");
    const failed = vi.fn();
    hub.follow("chat/ann/revoked", { items: () => undefined, failed });
    const other = vi.fn();
    hub.follow("chat/bob/1", { items: () => undefined, failed: other });
    await until(() => other.mock.calls.length > 0);
    expect(other).toHaveBeenCalledWith(expect.objectContaining({ code: "stream_not_found" }));
    expect(failed).not.toHaveBeenCalled();
    await get("/revoke");
    await until(() => states.at(-1) === "revoked");
    expect(failed).toHaveBeenCalledWith(expect.objectContaining({ code: "revoked" }));
    // A hub may remember a key for a second.
    await vi.waitFor(async () => {
      await expect(hub.models()).rejects.toMatchObject({ code: "invalid_api_key", status: 401 });
    }, { timeout: 20_000, interval: 200 });
  });

  it.each([["nonsense", "invalid_token"], ["sh_x", "invalid_api_key"]])("refuses %s, and says so", async (token, code) => {
    const { states } = page(() => Promise.resolve(token));
    await until(() => states.at(-1) === code);
  });
});
