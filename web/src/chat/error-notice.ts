/** What the hub refused, and what one can do about it, in words for people. */

export interface ErrorNotice {
  readonly text: string;
  readonly code?: string;
}

/** `kept` is what is not lost, such as "Your text is kept". */
export function errorNotice(error: unknown, kept = ""): ErrorNotice {
  const { status, code } = known(error);
  const coded = code === undefined ? {} : { code };
  const stays = kept === "" ? "" : ` ${kept}.`;
  // What a WebSocket was refused has no status either.
  if (code === "unreachable") return { text: `The hub cannot be reached.${stays} Try again when it is back.`, ...coded };
  const said = sentence(error instanceof Error && error.message !== "" ? error.message : "Something went wrong");
  const again = status === undefined || status === 429 || status >= 500 ? " Try again in a moment." : "";
  return { text: `${said}${stays}${again}`, ...coded };
}

/** Whether what was asked for is not there, or no more. */
export function gone(error: unknown): boolean {
  const { status, code } = known(error);
  // A stream that was deleted while forks of it live keeps its name.
  return status === 404 || status === 410 || code === "stream_deleted";
}

/** By its fields and not by its class: a page may hand over a hub from another bundle. */
function known(error: unknown): { status?: number; code?: string } {
  if (!(error instanceof Error)) return {};
  const status = "status" in error && typeof error.status === "number" ? { status: error.status } : {};
  const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
  return { ...status, ...code };
}

/** With a capital and a full stop, as people write. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?…。]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
