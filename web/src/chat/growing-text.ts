/** Renders a growing text, as Markdown or as it is. */

import { StreamingMarkdown } from "../markdown/stream.js";
import { nextFrame } from "../ui/frames.js";

export type Format = "markdown" | "plain";

export interface GrowingText {
  set(text: string, done: boolean): void;
}

export function growingText(format: Format, host: HTMLElement): GrowingText {
  return format === "plain" ? new Plain(host) : new StreamingMarkdown(host);
}

class Plain implements GrowingText {
  private readonly shown = document.createTextNode("");
  private text = "";

  constructor(host: HTMLElement) {
    const element = document.createElement("div");
    element.className = "plain";
    element.append(this.shown);
    host.append(element);
  }

  set(text: string): void {
    if (text === this.text) return;
    this.text = text;
    nextFrame(this.write);
  }

  private readonly write = (): boolean => {
    const { shown, text } = this;
    if (text.startsWith(shown.data)) shown.appendData(text.slice(shown.length));
    else shown.data = text;
    return false;
  };
}
