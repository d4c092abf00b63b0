/** A stream from its start, or from another place, folded; resets are applied. */

import type { From } from "./events.js";
import type { Handlers } from "./hub.js";
import { at, offsetOf } from "./position.js";
import type { State } from "./state.js";
import { EMPTY, fold, rewind } from "./state.js";

type More = Pick<Handlers, "lag" | "waiting" | "failed"> & { readonly from?: From };
type Follow = (from: From, handlers: Handlers) => () => void;

/** Gives what ends it. */
export function conversation(
  follow: Follow,
  told: (state: State) => void,
  { from = "start", ...more }: More = {},
): () => void {
  let state = EMPTY;
  let over = false;
  let stop = begin();

  function begin(): () => void {
    return follow(state.position || from, {
      ...more,
      items: (items) => {
        // After a reset it goes on from there: "now" would be another place by then.
        const [first] = items;
        if (from === "now" && first) from = at(first.position, offsetOf(first.position) - 1);
        tell(items.reduce(fold, state));
      },
      reset: (position) => {
        const offset = offsetOf(position);
        const earlier = rewind(state, position);
        // What lies between is gone: it is now as for one who comes only now.
        const gone = offsetOf(earlier.position) < offset && earlier === state;
        state = gone ? { ...EMPTY, position } : earlier;
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
    told(state);
  }

  return () => {
    over = true;
    stop();
  };
}
