/** The counter of a turn's versions, with buttons to the ones before and after it. */

import { html, nothing } from "lit";

import type { Version, Versions } from "../model/branches.js";
import type { Position } from "../protocol/events.js";
import * as icons from "../ui/icons.js";

/** To the previous or the next version. */
export type Step = "back" | "on";

export interface VersionChoice {
  readonly version: Version;
  readonly position: Position;
  readonly step: Step;
}

/** `what` is what has the versions; `choose` is called with the one to show. */
export function switcher(versions: Versions | undefined, what: string, choose: (choice: VersionChoice) => void): unknown {
  if (!versions) return nothing;
  const { choices, shown, position } = versions;
  const button = (by: 1 | -1, step: Step, label: string): unknown => {
    const version = choices[shown + by];
    return html`<button class=${`tiny ${step}`} type="button" aria-label=${label} title=${label} ?disabled=${!version}
      @click=${() => {
        if (version) choose({ version, position, step });
      }}>${step === "back" ? icons.back() : icons.on()}</button>`;
  };
  return html`<span class="versions" role="group" aria-label=${`Versions of ${what}`}>
    ${button(-1, "back", "Previous version")}
    <span class="count">${shown + 1}/${choices.length}</span>
    ${button(1, "on", "Next version")}
  </span>`;
}

/** Focus the button for this direction, or the other one at the end. */
export function focusVersions(turn: Element, step: Step): void {
  const buttons = turn.querySelectorAll<HTMLElement>(".versions button:enabled");
  const wanted = [...buttons].find((button) => button.classList.contains(step)) ?? buttons[0];
  wanted?.focus({ preventScroll: true });
}
