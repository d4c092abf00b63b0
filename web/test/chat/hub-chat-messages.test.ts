// @vitest-environment happy-dom
import { describe, expect, it, vi } from "vitest";

import { HubError } from "../../src/protocol/errors.js";
import { all, button, chat, hub, one, press, prompts, settle, show, text } from "../support/shown.js";

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

  it("of an answer is a fork with the same message, offered on both sides", async () => {
    await begun();
    button("Answer again")?.click();
    await settle();
    const fork = chat.stream ?? "";
    expect(fork).not.toBe("S");
    expect(hub.asked).toMatchObject([{ stream: fork, prompt: "one" }]);
    expect(text(".versions")).toBe("2/2");
    button("Previous version")?.click();
    await settle();
    expect(chat.stream).toBe("S");
    expect(text(".versions")).toBe("1/2");
    expect(text("hub-reply")).toContain("answer");
  });

  it("is where the page says, if it does", async () => {
    await begun();
    const told = vi.fn((event: Event) => {
      event.preventDefault();
    });
    chat.addEventListener("hub-fork", told);
    button("Answer again")?.click();
    await settle();
    expect(told).toHaveBeenCalledOnce();
    expect(chat.stream).toBe("S");
    expect(text(".versions")).toBe("1/2");
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
    expect(prompts()).toEqual(["two"]);
    expect(text("hub-said")).toContain("two");
  });

  it("is stopped, though it is asked for in another place than where it comes", async () => {
    await begun();
    let open: () => void = () => undefined;
    hub.gate = new Promise((done) => (open = done));
    button("Answer again")?.click();
    await settle();
    button("Stop")?.click();
    open();
    await settle();
    expect(chat.stream).not.toBe("S");
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

  it("that fails half-way is one version when it is tried again", async () => {
    await begun();
    const none = undefined as unknown as Error;
    hub.refusals.push(none, none, new HubError("busy", "busy", 429));
    button("Answer again")?.click();
    await settle();
    expect(chat.stream).toBe("S");
    expect(text("[role=alert]")).toContain("Busy.");
    button("Answer again")?.click();
    await settle();
    expect(text(".versions")).toBe("2/2");
    expect(hub.streams.size).toBe(2);
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
  it("that failed is tried again in place, with what was said before it", async () => {
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
    expect(hub.asked).toMatchObject([{ stream: "S", messages: [{ role: "user", content: "one" }] }]);
    expect(all("hub-reply")).toHaveLength(2);
    expect(button("Retry")).toBeUndefined();
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
