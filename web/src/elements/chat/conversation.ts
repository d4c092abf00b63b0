/**
 * One conversation as it is followed: what was said, its versions, and who is here.
 *
 * The client tells a state for each batch of events. The newest of them is shown at most once a
 * frame, so `state` here is the one that is on the screen.
 */

import type { Branch } from "../../client/events.js";
import type { Hub } from "../../client/hub.js";
import { EMPTY, type Said, type State } from "../../client/state.js";
import { forget, nextFrame } from "../frames.js";
import { Sources, type Versions, versions } from "./branches.js";
import { type Complaint, complaint } from "./complaint.js";
import { Company } from "./presence.js";

export interface Listener {
  /** At once, with each state. */
  told(state: State): void;
  lagged(records: number): void;
  /** Something is to be rendered; `state` only when there is a new one. */
  changed(state?: State): void;
}

export class Conversation {
  state: State = EMPTY;
  lag = 0;
  /** What there is of it is known, if only that there is nothing yet. */
  known = false;
  failed: Complaint | undefined;
  readonly company: Company;
  #latest: State = EMPTY;
  #forks: ReadonlyMap<string, readonly Branch[]> = new Map();
  #versions: ReadonlyMap<Said, Versions> = new Map();
  readonly #sources: Sources;
  readonly #end: () => void;
  #left = false;

  constructor(
    hub: Hub,
    readonly stream: string,
    private readonly listener: Listener,
  ) {
    const changed = (): void => {
      if (!this.#left) listener.changed();
    };
    this.company = new Company(hub, stream, changed);
    this.#sources = new Sources(hub, (forks) => {
      this.#forks = forks;
      this.#see(this.state);
      changed();
    });
    this.#end = hub.conversation(stream, this.#told, {
      lag: (records) => {
        if (records === this.lag) return;
        this.lag = records;
        listener.lagged(records);
        changed();
      },
      waiting: () => {
        this.known = true;
        // That there is nothing is news as well.
        if (!this.#left) listener.changed(this.state);
      },
      failed: (error) => {
        this.failed = complaint(error);
        changed();
      },
    });
  }

  /** The messages that have several versions. */
  get versions(): ReadonlyMap<Said, Versions> {
    return this.#versions;
  }

  /** What is known by now, shown or not. */
  get latest(): State {
    return this.#latest;
  }

  leave(): void {
    this.#left = true;
    forget(this.#show);
    this.#end();
    this.#sources.stop();
    this.company.leave();
  }

  readonly #told = (state: State): void => {
    if (this.#left) return;
    if (state.branches !== this.#latest.branches) this.#sources.follow(this.stream, state.branches);
    this.#latest = state;
    this.known = true;
    this.listener.told(state);
    nextFrame(this.#show);
  };

  readonly #show = (): boolean => {
    const state = this.#latest;
    const isLonger = state.turns.length !== this.state.turns.length;
    if (isLonger || state.branches !== this.state.branches) this.#see(state);
    this.state = state;
    this.listener.changed(state);
    return false;
  };

  #see(state: State): void {
    this.#versions = versions(this.stream, state, this.#forks);
  }
}
