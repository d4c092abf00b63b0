/** An error of the hub, with one sentence for people and a code for programs. */
export class HubError extends Error {
  override readonly name = "HubError";

  constructor(
    readonly code: string,
    message: string,
    /** The HTTP status; 0 if there was none, because the hub was `unreachable` or a WebSocket was used. */
    readonly status = 0,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
