/**
 * Parses server-sent events from bytes that may be cut anywhere (WHATWG HTML, section 9.2.6).
 *
 * `EventSource` is not used, because it reports neither why it failed nor heartbeats.
 */

export interface ServerEvent {
  readonly name: string;
  readonly text: string;
  /** The last id, of this event or an earlier one. */
  readonly id: string;
}

export class ServerEvents {
  readonly #decoder = new TextDecoder();
  #line = "";
  #name = "";
  #id = "";
  #lines: string[] = [];
  #returned = false;

  /** Add bytes; returns the events that are complete. */
  feed(bytes: Uint8Array): ServerEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    // CR LF is one line end, even if it is cut in two.
    if (this.#returned && text.startsWith("\n")) text = text.slice(1);
    this.#returned = text.endsWith("\r");
    const found: ServerEvent[] = [];
    const lines = text.split(/\r\n|\r|\n/);
    for (const [i, line] of lines.entries()) {
      this.#line += line;
      if (i === lines.length - 1) break;
      this.#take(found);
      this.#line = "";
    }
    return found;
  }

  #take(found: ServerEvent[]): void {
    const line = this.#line;
    if (line === "") {
      if (this.#lines.length) found.push({ name: this.#name, text: this.#lines.join("\n"), id: this.#id });
      this.#name = "";
      this.#lines = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/su.exec(line) as unknown as [string, string, string];
    if (field === "data") this.#lines.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "id") this.#id = value;
  }
}
