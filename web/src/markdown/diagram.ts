/**
 * Shows what a block of Mermaid draws, above its text, when somebody asks for it.
 *
 * Mermaid runs in a frame (src/diagram) that may do nothing but draw. If it cannot draw the text, it
 * says why, and the text stands there as before.
 */

import { ownFile } from "./own-files.js";

/** The language of blocks that can be drawn. */
export const DIAGRAM = "mermaid";

/** What the frame sends. */
interface Answer {
  readonly isReady?: boolean;
  readonly height?: number;
  readonly error?: string;
}

const TALLEST = 2_000;
const LONGEST_ERROR = 300;
/** The milliseconds after which the frame will not answer any more. */
const PATIENCE = 30_000;

export function diagramButton(): HTMLButtonElement {
  const button = document.createElement("button");
  button.className = "hub-draw";
  button.type = "button";
  button.textContent = "Show diagram";
  button.setAttribute("aria-expanded", "false");
  return button;
}

/** Show the diagram of a block, or remove it; `announce` tells those who do not see it. */
export function toggleDiagram(button: Element, announce: (text: string) => void): void {
  const block = button.closest(".hub-code");
  const pre = block?.querySelector("pre");
  if (!block || !pre) return;
  const shown = block.querySelectorAll(".hub-diagram");
  expand(button, shown.length === 0);
  if (shown.length > 0) for (const element of shown) element.remove();
  else draw(pre, announce);
}

function expand(button: Element, isShown: boolean): void {
  button.setAttribute("aria-expanded", String(isShown));
  button.textContent = isShown ? "Hide diagram" : "Show diagram";
}

function draw(pre: HTMLElement, announce: (text: string) => void): void {
  const frame = document.createElement("iframe");
  frame.className = "hub-diagram";
  frame.title = "Diagram";
  frame.setAttribute("sandbox", "allow-scripts");
  frame.src = ownFile("diagram.html");
  const heard = ({ source, data }: MessageEvent): void => {
    if (source !== frame.contentWindow || typeof data !== "object" || data === null) return;
    const { isReady, height, error } = data as Answer;
    if (isReady === true) frame.contentWindow?.postMessage({ source: pre.textContent, isDark: isDark(pre) }, "*");
    else if (typeof height === "number") {
      frame.style.height = `${Math.min(TALLEST, Math.max(0, height))}px`;
      announce("The diagram is shown");
      end();
    } else if (typeof error === "string") fail(error.slice(0, LONGEST_ERROR));
  };
  const fail = (why: string): void => {
    end();
    if (!frame.isConnected) return;
    const note = document.createElement("p");
    note.className = "hub-diagram hub-diagram-error";
    note.textContent = `This diagram cannot be drawn. ${why}`;
    frame.replaceWith(note);
    announce("This diagram cannot be drawn");
  };
  const timer = setTimeout(() => {
    fail("");
  }, PATIENCE);
  const end = (): void => {
    clearTimeout(timer);
    window.removeEventListener("message", heard);
  };
  window.addEventListener("message", heard);
  pre.before(frame);
}

/** Whether text is light here, so what is behind it is dark. */
function isDark(element: Element): boolean {
  const parts = getComputedStyle(element).color.match(/[\d.]+/g)?.slice(0, 3).map(Number) ?? [];
  return parts.reduce((sum, part) => sum + part, 0) > 382;
}
