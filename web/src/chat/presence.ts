/** A line that says who else is here and who is typing. */

import type { Hub } from "../client/hub.js";
import type { Presence } from "../client/source.js";
import type { Member } from "../protocol/frames.js";

/** After this many milliseconds without a key, typing is over. */
const PAUSE = 4000;

export class Participants {
  members: readonly Member[] = [];
  readonly #presence: Presence;
  #typing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(hub: Hub, stream: string, changed: () => void) {
    this.#presence = hub.presence(stream, { typing: false }, (members) => {
      this.members = members;
      changed();
    });
  }

  /** A key was pressed in the composer, or typing has ended. */
  typing(typing: boolean): void {
    clearTimeout(this.#timer);
    if (typing) {
      this.#timer = setTimeout(() => {
        this.typing(false);
      }, PAUSE);
    }
    if (typing === this.#typing) return;
    this.#typing = typing;
    this.#presence.set({ typing });
  }

  leave(): void {
    clearTimeout(this.#timer);
    this.#presence.leave();
  }
}

/** "2 others are here", "somebody is typing…"; empty while one is alone. */
export function presenceText(members: readonly Member[]): string {
  const others = members.filter(({ self }) => !self);
  const typing = others.filter(({ state }) => field(state, "typing") === true);
  if (typing.length > 1) return `${typing.length} others are typing…`;
  if (typing.length === 1) return `${nameOf(typing) ?? "Somebody"} is typing…`;
  if (others.length === 0) return "";
  if (others.length === 1) return `${nameOf(others) ?? "1 other"} is here`;
  return `${others.length} others are here`;
}

function nameOf([one]: readonly Member[]): string | undefined {
  const name = field(one?.state, "name");
  return typeof name === "string" && name.trim() !== "" ? name.slice(0, 40) : undefined;
}

/** The states of others may be anything. */
function field(state: unknown, name: string): unknown {
  return typeof state === "object" && state !== null ? (state as Record<string, unknown>)[name] : undefined;
}
