/**
 * Going from one version of a message to another: the reader stays where the message is.
 *
 * It stands at the same height as before, and the focus on the button that was pressed, so that
 * who goes through the versions need not look for either again.
 */

import { offsetOf } from "../../client/position.js";
import type { Position } from "../../client/events.js";
import type { Step } from "./said.js";
import type { Scrolling } from "./scrolling.js";
import type { Turns } from "./turns.js";

/** Where to arrive, in whichever conversation shows a version of this message. */
export interface Arrival {
  readonly position: Position;
  /** Pixels from the upper edge of what is seen to the message. */
  readonly top: number;
  readonly step: Step;
}

export function departure(position: Position, step: Step, message: Element, scrolling: Scrolling): Arrival {
  return { position, step, top: scrolling.topOf(message) };
}

/** Arrive, if the message is there by now; gives whether it was. */
export async function arrive(arrival: Arrival, turns: Turns, scrolling: Scrolling): Promise<boolean> {
  await turns.updateComplete;
  const at = offsetOf(arrival.position);
  const found = [...turns.querySelectorAll("hub-said")].find(
    ({ versions }) => versions !== undefined && offsetOf(versions.position) === at,
  );
  if (!found) return false;
  await found.updateComplete;
  scrolling.pin(found, arrival.top);
  found.focusVersions(arrival.step);
  return true;
}