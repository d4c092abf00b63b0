/** A `<hub-chat>` on a page with a fake hub, with what tests do with it and see of it. */

import { afterEach, beforeEach, vi } from "vitest";

import { HubChat } from "../../src/chat/hub-chat.js";
import { FakeHub } from "./fake-hub.js";

export let hub: FakeHub;
export let chat: HubChat;

export async function show(setup: (chat: HubChat) => void = () => undefined): Promise<void> {
  chat = new HubChat();
  chat.hub = hub;
  chat.stream = "S";
  setup(chat);
  document.body.append(chat);
  await settle();
}

/** Wait until all pending frames and updates have run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) {
    await new Promise((done) => requestAnimationFrame(done));
    await chat.updateComplete;
  }
}

export function all(what: string): HTMLElement[] {
  return [...(chat.shadowRoot?.querySelectorAll<HTMLElement>(what) ?? [])];
}

export function one(what: string): HTMLElement {
  const [found] = all(what);
  if (!found) throw new Error(`there is no ${what}`);
  return found;
}

export const area = (): HTMLTextAreaElement => one("hub-composer textarea") as HTMLTextAreaElement;
export const button = (name: string): HTMLButtonElement | undefined =>
  (all("button") as HTMLButtonElement[]).findLast(
    (found) => (found.getAttribute("aria-label") ?? found.textContent.trim()).startsWith(name),
  );
export const text = (what: string): string => one(what).textContent.replace(/\s+/g, " ").trim();

export function type(words: string): void {
  area().value = words;
  area().dispatchEvent(new Event("input", { bubbles: true }));
}

export function press(key: string, more: KeyboardEventInit & { old?: number } = {}, on: HTMLElement = area()): KeyboardEvent {
  const { old, ...init } = more;
  const event = new KeyboardEvent("keydown", { key, bubbles: true, composed: true, cancelable: true, ...init });
  if (old !== undefined) Object.defineProperty(event, "keyCode", { value: old });
  on.dispatchEvent(event);
  return event;
}

export const prompts = (): (string | undefined)[] => hub.asked.map(({ prompt }) => prompt);

beforeEach(() => {
  localStorage.clear();
  hub = new FakeHub();
});
afterEach(() => {
  chat.remove();
  document.body.replaceChildren();
  vi.restoreAllMocks();
});
