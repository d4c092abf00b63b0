/** Follow a stream as a conversation: fold its events into a state, and apply resets. */

import { EMPTY, foldAll, rewind, type State } from "../model/conversation.js";
import type { From } from "../protocol/events.js";
import { at, offsetOf } from "../protocol/position.js";
import type { Follow, Handlers } from "./source.js";

type More = Pick<Handlers, "lag" | "waiting" | "failed"> & { readonly from?: From };

/** Returns a function that stops it. */
export function followConversation(
  follow: Follow,
  changed: (state: State) => void,
  { from = "start", ...more }: More = {},
  stream?: string,
): () => void {
  const empty: State = { ...EMPTY, stream };
  let state = empty;
  let over = false;
  let stop = begin();

  function begin(): () => void {
    return follow(state.position || from, {
      ...more,
      items: (items) => {
        // After a reset it continues from there, because "now" would be somewhere else by then.
        const [first] = items;
        if (from === "now" && first) from = at(first.position, offsetOf(first.position) - 1);
        tell(foldAll(state, items));
      },
      reset: (position) => {
        const offset = offsetOf(position);
        const earlier = rewind(state, position);
        // The records in between are gone: start as if following from now on.
        const gone = offsetOf(earlier.position) < offset && earlier === state;
        state = gone ? { ...empty, position } : earlier;
        const again = offsetOf(state.position) !== offset;
        if (again) stop();
        tell(state);
        if (again && !over) stop = begin();
      },
      closed: () => { tell({ ...state, closed: true }); },
    });
  }

  function tell(next: State): void {
    state = next;
    changed(state);
  }

  return () => {
    over = true;
    stop();
  };
}
