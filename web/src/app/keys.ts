/**
 * Keyboard shortcuts.
 *
 * A single key only works without modifiers, while nobody is typing and no dialog or menu is open.
 * Single keys can be switched off, because speech input would trigger them (WCAG 2.2 success
 * criterion 2.1.4).
 */

export type KeyAction = "list" | "fresh" | "search" | "compose" | "sidebar" | "above" | "below" | "stop";

/** The function of each; it returns false if there was nothing to do, and the browser gets the key. */
export type KeyBindings = Readonly<Record<KeyAction, () => unknown>>;

export interface Key {
  readonly keys: readonly string[];
  readonly does: string;
  /** A single key, which can be switched off. */
  readonly single?: boolean;
}

const APPLE = /Mac|iPhone|iPad/.test(navigator.userAgent);
const COMMAND = APPLE ? "⌘" : "Ctrl";

export const KEYS: readonly Key[] = [
  { keys: ["?"], does: "Show these keys", single: true },
  { keys: ["N"], does: "New conversation", single: true },
  { keys: ["/"], does: "Write", single: true },
  { keys: ["B"], does: "Show or hide the list", single: true },
  { keys: [COMMAND, "K"], does: "Search the conversations" },
  { keys: [APPLE ? "⌥" : "Alt", "↑"], does: "The conversation above" },
  { keys: [APPLE ? "⌥" : "Alt", "↓"], does: "The conversation below" },
  { keys: ["Enter"], does: "Send" },
  { keys: ["Shift", "Enter"], does: "New line" },
  { keys: ["Esc"], does: "Stop the answer, or close a menu or dialog" },
];

const ALONE: Readonly<Record<string, KeyAction>> = { "?": "list", n: "fresh", "/": "compose", b: "sidebar" };
const WITH_ALT: Readonly<Record<string, KeyAction>> = { ArrowUp: "above", ArrowDown: "below" };

/** The action of a key press, if any; `singles`: single keys are on. */
export function actionOf(event: KeyboardEvent, singles: boolean): KeyAction | undefined {
  if (event.defaultPrevented || event.isComposing) return undefined;
  // With Caps Lock on, letters arrive as capitals.
  const key = event.shiftKey ? event.key : event.key.toLowerCase();
  const command = APPLE ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
  if (command && !event.altKey && key === "k") return "search";
  if (event.ctrlKey || event.metaKey || typing(event)) return undefined;
  if (event.altKey) return WITH_ALT[event.key];
  if (event.repeat) return undefined;
  if (key === "escape") return "stop";
  return singles ? ALONE[key] : undefined;
}

/** Run the functions of keys, unless the page is busy with something that has its own keys. */
export function listenForKeys(bindings: KeyBindings, singles: () => boolean, busy: () => boolean): void {
  document.addEventListener("keydown", (event) => {
    const action = busy() ? undefined : actionOf(event, singles());
    if (action && bindings[action]() !== false) event.preventDefault();
  });
}

/** Whether the key goes into a field; the composer's is inside a shadow tree. */
function typing(event: KeyboardEvent): boolean {
  const [target] = event.composedPath();
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName);
}
