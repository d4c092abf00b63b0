/**
 * Going from one version of a message to another: the reader stays where the message is.
 *
 * It stands at the same height as before, and the focus on the button that was pressed, so that
 * who goes through the versions need not look for either again.
 */

import type { Position } from "../protocol/events.js";
import { offsetOf } from "../protocol/position.js";
import type { Step } from "./message.js";
import type { Scrolling } from "./scrolling.js";
import type { Turns } from "./turns.js";

/** The place to show, in whichever conversation shows a version of this message. */
export interface ScrollRestore {
  readonly position: Position;
  /** Pixels from the upper edge of what is seen to the message. */
  readonly top: number;
  readonly step: Step;
}

/** The place of a message before the reader goes to another version of it. */
export function scrollPlace(position: Position, step: Step, message: Element, scrolling: Scrolling): ScrollRestore {
  return { position, step, top: scrolling.topOf(message) };
}

/** Show the place, if the message is there by now; gives whether it was. */
export async function restoreScroll(place: ScrollRestore, turns: Turns, scrolling: Scrolling): Promise<boolean> {
  await turns.updateComplete;
  const at = offsetOf(place.position);
  const found = [...turns.querySelectorAll("hub-said")].find(
    ({ versions }) => versions !== undefined && offsetOf(versions.position) === at,
  );
  if (!found) return false;
  await found.updateComplete;
  scrolling.pin(found, place.top);
  found.focusVersions(place.step);
  return true;
}
