/**
 * Keeps the scroll position when the user switches between versions of a message.
 *
 * The message stays at the same height and the focus on the button that was pressed, so that
 * nobody has to search for either again.
 */

import type { Position } from "../protocol/events.js";
import { offsetOf } from "../protocol/position.js";
import type { AssistantMessageView } from "./assistant-message.js";
import type { MessageView } from "./message.js";
import type { Scrolling } from "./scrolling.js";
import type { Turns } from "./turns.js";
import { focusVersions, type Step } from "./version-switcher.js";

/** Where to show a message, in any conversation with a version of it. */
export interface ScrollRestore {
  readonly position: Position;
  /** Pixels from the upper edge of the visible part to the message. */
  readonly top: number;
  readonly step: Step;
}

/** The place of a message before switching to another version of it. */
export function scrollPlace(position: Position, step: Step, message: Element, scrolling: Scrolling): ScrollRestore {
  return { position, step, top: scrolling.topOf(message) };
}

/** Scroll to the place if the message exists by now; returns whether it does. */
export async function restoreScroll(place: ScrollRestore, turns: Turns, scrolling: Scrolling): Promise<boolean> {
  await turns.updateComplete;
  const at = offsetOf(place.position);
  const found = [...turns.querySelectorAll<MessageView | AssistantMessageView>("hub-said, hub-reply")].find(
    ({ versions }) => versions !== undefined && offsetOf(versions.position) === at,
  );
  if (!found) return false;
  await found.updateComplete;
  scrolling.pin(found, place.top);
  focusVersions(found, place.step);
  return true;
}
