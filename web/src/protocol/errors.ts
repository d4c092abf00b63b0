/** What the hub refused, in one sentence for people and a code for programs. */
export class HubError extends Error {
  override readonly name = "HubError";

  constructor(
    readonly code: string,
    message: string,
    /** The HTTP status; 0 where there was none: not reached (`unreachable`), or refused over a WebSocket. */
    readonly status = 0,
  ) {
    super(message);
  }
}
