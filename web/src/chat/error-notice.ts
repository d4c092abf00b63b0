/** Error messages for people, with what they can do. */

/** What the hub refuses, in the words of the page. */
const REFUSED: Readonly<Record<string, string>> = {
  session_ended: "Your session has ended: sign in again.",
  unauthorized: "You are not signed in: sign in first.",
  not_permitted: "Your account may not do this here.",
  // Whether there is one is nobody else's business.
  stream_not_found: "There is no conversation here that you can see.",
  stream_busy: "An answer is being written: stop it, or wait for its end.",
};

export interface ErrorNotice {
  readonly text: string;
  readonly code?: string;
}

/** `kept` says what is not lost, such as "Your text is kept". */
export function errorNotice(error: unknown, kept = ""): ErrorNotice {
  const { status, code } = errorFields(error);
  const coded = code === undefined ? {} : { code };
  const stays = kept === "" ? "" : ` ${kept}.`;
  // Errors over a WebSocket have no status, either.
  if (code === "unreachable") return { text: `The hub cannot be reached.${stays} Try again when it is back.`, ...coded };
  const refused = code === undefined ? undefined : REFUSED[code];
  if (refused !== undefined) return { text: `${refused}${stays}`, ...coded };
  const said = sentence(error instanceof Error && error.message !== "" ? error.message : "Something went wrong");
  const again = status === undefined || status === 429 || status >= 500 ? " Try again in a moment." : "";
  return { text: `${said}${stays}${again}`, ...coded };
}

/** Whether an error means that something does not exist, or no longer does. */
export function gone(error: unknown): boolean {
  const { status, code } = errorFields(error);
  // A deleted stream keeps its name while forks of it exist.
  return status === 404 || status === 410 || code === "stream_deleted";
}

/** Whether the hub was not reached, or cannot serve anybody at the moment. */
export function unreached(error: unknown): boolean {
  const { status, code } = errorFields(error);
  return code === "unreachable" || status === 502 || status === 503 || status === 504;
}

/** Recognizes errors by their fields, because a page may pass in a hub from another bundle. */
function errorFields(error: unknown): { status?: number; code?: string } {
  if (!(error instanceof Error)) return {};
  const status = "status" in error && typeof error.status === "number" ? { status: error.status } : {};
  const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
  return { ...status, ...code };
}

/** The text with a capital letter and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?…。]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
