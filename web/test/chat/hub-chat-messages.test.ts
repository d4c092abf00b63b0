// @vitest-environment happy-dom
import { describe, expect, it, vi } from "vitest";

import type { State } from "../../src/model/conversation.js";
import { HubError } from "../../src/protocol/errors.js";
import { at, ZERO } from "../../src/protocol/position.js";
import { forkAt } from "../support/forks.js";
import { all, button, chat, hub, one, press, prompts, settle, show, text, type } from "../support/shown.js";

describe("another version", () => {
  const begun = async (): Promise<void> => {
    await show();
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "delta", generation: "a", text: "answer" },
      { type: "finished", generation: "a", reason: "stop" },
    );
    await settle();
  };

  it("of an answer stands in its place, and both can be seen", async () => {
    await begun();
    button("Answer again")?.click();
    await settle();
    expect(hub.asked).toMatchObject([{ stream: "S", after: at(ZERO, 1) }]);
    expect(prompts()).toEqual([undefined]);
    expect(text("hub-reply .versions")).toBe("2/2");
    expect(text("hub-reply")).not.toContain("answer");
    button("Previous version")?.click();
    await settle();
    expect(text("hub-reply .versions")).toBe("1/2");
    expect(text("hub-reply")).toContain("answer");
    expect(all("hub-said .versions")).toEqual([]);
  });

  it("that is chosen is what one goes on with, and what the browser shows again", async () => {
    await begun();
    hub.happen(
      "S",
      { type: "started", generation: "b", upstream: "demo", after: at(ZERO, 1) },
      { type: "delta", generation: "b", text: "other" },
      { type: "finished", generation: "b", reason: "stop" },
    );
    await settle();
    expect(text("hub-reply")).toContain("other");
    button("Previous version")?.click();
    await settle();
    const told = vi.fn();
    chat.addEventListener("hub-state", told);
    type("more");
    press("Enter");
    await settle();
    expect(hub.asked).toMatchObject([{ prompt: "more", branch: at(ZERO, 2) }]);
    expect(all("hub-said, hub-reply").map((turn) => turn.textContent.trim().slice(0, 6))).toEqual(["one", "answer", "more", "demo"]);
    const [{ detail }] = told.mock.lastCall as [CustomEvent<{ state: State }>];
    expect(detail.state.turns.map((turn) => turn.text)).toEqual(["one", "answer", "more", ""]);
    chat.remove();
    await show();
    expect(text("hub-reply")).toContain("answer");
  });

  it("that is answered elsewhere is told, shown and stopped", async () => {
    await begun();
    hub.happen("S", { type: "started", generation: "b", upstream: "demo", after: at(ZERO, 1) });
    hub.happen("S", { type: "delta", generation: "b", text: "other" });
    await settle();
    expect(all(".elsewhere")).toEqual([]);
    button("Previous version")?.click();
    await settle();
    expect(text("hub-reply")).toContain("answer");
    expect(text(".elsewhere")).toContain("Another version is being answered.");
    button("Show")?.click();
    await settle();
    expect(text("hub-reply")).toContain("other");
    expect(all(".elsewhere")).toEqual([]);
    button("Previous version")?.click();
    await settle();
    button("Stop")?.click();
    await settle();
    expect(hub.cancelled).toEqual(["b"]);
    expect(all(".elsewhere")).toEqual([]);
  });

  it("begun on an older branch is shown, and the choice is kept until it comes", async () => {
    await begun();
    hub.happen("S", { type: "started", generation: "b", upstream: "demo", after: at(ZERO, 1) }, { type: "finished", generation: "b", reason: "stop" });
    await settle();
    button("Previous version")?.click();
    await settle();
    hub.happen("S", { type: "started", generation: "c", upstream: "demo", after: at(ZERO, 1) }, { type: "finished", generation: "c", reason: "stop" });
    await settle();
    expect(text("hub-reply .versions")).toBe("1/3");
    button("Answer again")?.click();
    await settle();
    expect(text("hub-reply .versions")).toBe("4/4");
  });

  it("that is a conversation of its own is where the page says, if it does", async () => {
    await begun();
    await forkAt(hub, { source: "S", position: at(ZERO, 0) }, "F", { type: "message", role: "user", text: "two" });
    await settle();
    expect(text("hub-said .versions")).toBe("1/2");
    const told = vi.fn((event: Event) => {
      event.preventDefault();
    });
    chat.addEventListener("hub-fork", told, { once: true });
    button("Next version")?.click();
    await settle();
    expect(told).toHaveBeenCalledOnce();
    expect(chat.stream).toBe("S");
    button("Next version")?.click();
    await settle();
    expect(chat.stream).toBe("F");
    expect(text("hub-said")).toContain("two");
    expect(text("hub-said .versions")).toBe("2/2");
  });

  it("of a message is typed in its place", async () => {
    await begun();
    button("Edit")?.click();
    await settle();
    const editor = one(".editor textarea") as HTMLTextAreaElement;
    expect(editor.value).toBe("one");
    editor.value = "two";
    press("Enter", {}, editor);
    await settle();
    expect(hub.asked).toMatchObject([{ stream: "S", prompt: "two", after: null }]);
    expect(text("hub-said")).toContain("two");
    expect(text("hub-said .versions")).toBe("2/2");
  });

  it("is stopped while it is still being asked for", async () => {
    await begun();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    button("Answer again")?.click();
    await settle();
    button("Stop")?.click();
    open();
    await settle();
    expect(hub.cancelled).toEqual(["g1"]);
    expect(text("hub-reply")).toContain("Stopped.");
  });

  it("does not call back who has gone elsewhere meanwhile", async () => {
    await begun();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    button("Answer again")?.click();
    await settle();
    chat.stream = "T";
    await settle();
    open();
    await settle();
    expect(chat.stream).toBe("T");
    expect(all("[role=alert]")).toEqual([]);
  });

  it("that is given up leaves all as it was", async () => {
    await begun();
    button("Edit")?.click();
    await settle();
    press("Escape", {}, one(".editor textarea"));
    await settle();
    expect(all(".editor")).toEqual([]);
    expect(hub.asked).toEqual([]);
  });

  it("that fails is one version when it is tried again", async () => {
    await begun();
    hub.refusals.push(new HubError("busy", "busy", 429));
    button("Answer again")?.click();
    await settle();
    expect(text("[role=alert]")).toContain("Busy.");
    button("Answer again")?.click();
    await settle();
    expect(new Set(hub.asked.map(({ key }) => key)).size).toBe(1);
    expect(text("hub-reply .versions")).toBe("2/2");
  });

  it("is waited for by what is sent meanwhile, which goes on with it", async () => {
    await begun();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    button("Answer again")?.click();
    await settle();
    type("more");
    press("Enter");
    press("Enter");
    await settle();
    expect(hub.asked).toHaveLength(1);
    expect(text(".hint")).toContain("Sending");
    open();
    await settle();
    expect(hub.asked.slice(1)).toMatchObject([{ prompt: "more", branch: at(ZERO, 5) }]);
    expect(text("hub-queue .what")).toBe("more");
    expect((one("hub-composer textarea") as HTMLTextAreaElement).value).toBe("");
  });

  it("that is stopped sends nothing of what waits for it", async () => {
    await begun();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    button("Answer again")?.click();
    await settle();
    type("more");
    press("Enter");
    await settle();
    button("Stop")?.click();
    open();
    await settle();
    expect(hub.asked).toHaveLength(1);
    expect(hub.cancelled).toEqual(["g1"]);
    expect((one("hub-composer textarea") as HTMLTextAreaElement).value).toBe("more");
    expect(button("Send")).toBeDefined();
  });

  it("that cannot be had because an answer has just begun elsewhere says so", async () => {
    await begun();
    button("Edit")?.click();
    await settle();
    const again = button("Answer again");
    hub.happen("S", { type: "started", generation: "b", upstream: "demo" });
    // Before the next frame, and in the editor, which stays.
    for (const ask of [() => again?.click(), () => { press("Enter", {}, one(".editor textarea")); }]) {
      hub.refusals.push(new HubError("stream_busy", "busy", 409));
      ask();
      await settle();
      expect(text("[role=alert]")).toContain("An answer is being written: stop it, or wait for its end.");
      button("Dismiss")?.click();
      await settle();
    }
    expect(all(".editor")).toHaveLength(1);
  });

  it("is begun where it was asked, though the stream has gone on to another branch before the next frame", async () => {
    await begun();
    button("Edit")?.click();
    await settle();
    const again = button("Answer again");
    hub.happen("S", { type: "message", role: "user", text: "elsewhere", after: null });
    again?.click();
    await vi.waitFor(() => {
      expect(hub.asked).toMatchObject([{ after: at(ZERO, 1) }]);
    });
  });

  it("of what the hub has lost says so", async () => {
    await begun();
    const again = button("Answer again");
    hub.reset("S", ZERO);
    again?.click();
    await settle();
    expect(hub.asked).toEqual([]);
    expect(text("[role=alert]")).toContain("The hub does not have this message any more.");
  });

  it("is not offered while an answer comes", async () => {
    await begun();
    hub.happen("S", { type: "started", generation: "b", upstream: "demo" });
    await settle();
    expect(button("Edit")).toBeUndefined();
    expect(button("Answer again")).toBeUndefined();
  });
});

describe("a reply", () => {
  it("that failed is tried again in its place", async () => {
    await show();
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "delta", generation: "a", text: "ha" },
      { type: "failed", generation: "a", code: "upstream_stalled", message: "silence" },
    );
    await settle();
    expect(text("hub-reply")).toMatch(/Silence\. upstream_stalled/);
    button("Retry")?.click();
    await settle();
    expect(hub.asked).toMatchObject([{ stream: "S", after: at(ZERO, 1) }]);
    expect(all("hub-reply")).toHaveLength(1);
    expect(text("hub-reply")).not.toContain("Silence");
    expect(button("Retry")).toBeUndefined();
    // Something was said, so it is not lost.
    expect(text("hub-reply .versions")).toBe("2/2");
  });

  it("alone is rendered when it alone changes", async () => {
    await show();
    hub.happen(
      "S",
      { type: "message", role: "user", text: "one" },
      { type: "started", generation: "a", upstream: "demo" },
      { type: "finished", generation: "a", reason: "stop" },
      { type: "started", generation: "b", upstream: "demo" },
    );
    await settle();
    const [over, running] = all("hub-reply") as unknown as [{ update(): void }, { update(): void }];
    const untouched = vi.spyOn(over, "update");
    const touched = vi.spyOn(running, "update");
    hub.happen("S", { type: "delta", generation: "b", text: "x" });
    hub.happen("S", { type: "delta", generation: "b", text: "y" });
    await settle();
    expect(untouched).not.toHaveBeenCalled();
    expect(touched).toHaveBeenCalledOnce();
  });

  it("keeps its thoughts as the reader left them", async () => {
    await show();
    hub.happen("S", { type: "started", generation: "a", upstream: "demo" }, { type: "delta", generation: "a", reasoning: "hm" });
    await settle();
    const details = one("details") as HTMLDetailsElement;
    expect(details.open).toBe(false);
    expect(text("summary")).toBe("Thinking…");
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    hub.happen("S", { type: "delta", generation: "a", reasoning: " well" }, { type: "delta", generation: "a", text: "so" });
    await settle();
    expect(details.open).toBe(true);
    expect(text(".thoughts")).toBe("hm well");
  });

  it("shows the tools that it asks for", async () => {
    await show();
    const long = JSON.stringify({ list: Array.from({ length: 30 }, (_, i) => i) });
    hub.happen(
      "S",
      { type: "started", generation: "a", upstream: "demo" },
      { type: "delta", generation: "a", tool: { index: 0, id: "x", name: "search", arguments: long } },
    );
    await settle();
    expect(text(".tool .name")).toBe("search");
    expect(one(".tool pre").textContent.split("\n")).toHaveLength(12);
    button("Show all")?.click();
    await settle();
    expect(one(".tool pre").textContent).toBe(JSON.stringify(JSON.parse(long), null, 2));
  });

  it("is told to screen readers", async () => {
    await show();
    hub.happen("S", { type: "started", generation: "a", upstream: "demo" });
    await settle();
    expect(one(".log").getAttribute("aria-busy")).toBe("true");
    hub.happen("S", { type: "delta", generation: "a", text: "All." }, { type: "finished", generation: "a", reason: "stop" });
    await settle();
    expect(text(".unseen")).toBe("Answering.All.The answer is complete.");
    expect(one(".log").getAttribute("aria-busy")).toBe("false");
  });
});

describe("a message", () => {
  it("of a whole book is folded until somebody wants to see it", async () => {
    await show();
    const book = "word ".repeat(4_000);
    hub.happen("S", { type: "message", role: "user", text: book });
    await settle();
    expect(one(".words").textContent).toHaveLength(2_001);
    expect(one(".words").textContent).toMatch(/ word …$/);
    button("Show all 20,000 characters")?.click();
    await settle();
    expect(one(".words").textContent).toBe(book);
    button("Show less")?.click();
    await settle();
    expect(one(".words").textContent).toHaveLength(2_001);
  });

  it("of some length is shown as it is", async () => {
    await show();
    hub.happen("S", { type: "message", role: "user", text: "a".repeat(10_000) });
    await settle();
    expect(one(".words").textContent).toHaveLength(10_000);
    expect(button("Show all")).toBeUndefined();
  });
});
