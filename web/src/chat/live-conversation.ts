/**
 * One conversation as it is followed: what was said, its versions, and who is here.
 *
 * The client tells a state for each batch of events. The newest of them is shown at most once a
 * frame, so `state` here is the one that is on the screen.
 */

import type { Hub } from "../client/hub.js";
import { type Versions, versions } from "../model/branches.js";
import { type ChatMessage, EMPTY, type State } from "../model/conversation.js";
import type { Branch } from "../protocol/events.js";
import { forget, nextFrame } from "../ui/frames.js";
import { type ErrorNotice, errorNotice } from "./error-notice.js";
import { ForkWatcher } from "./fork-watcher.js";
import { Participants } from "./presence.js";

export interface ConversationListener {
  /** At once, with each state. */
  received(state: State): void;
  lagged(records: number): void;
  /** Something is to be rendered; `state` only when there is a new one. */
  changed(state?: State): void;
}

export class LiveConversation {
  state: State = EMPTY;
  lag = 0;
  /** What there is of it is known, if only that there is nothing yet. */
  known = false;
  failed: ErrorNotice | undefined;
  readonly participants: Participants;
  #latest: State = EMPTY;
  #forks: ReadonlyMap<string, readonly Branch[]> = new Map();
  #versions: ReadonlyMap<ChatMessage, Versions> = new Map();
  readonly #watcher: ForkWatcher;
  readonly #end: () => void;
  #left = false;

  constructor(
    hub: Hub,
    readonly stream: string,
    private readonly listener: ConversationListener,
  ) {
    const changed = (): void => {
      if (!this.#left) listener.changed();
    };
    this.participants = new Participants(hub, stream, changed);
    this.#watcher = new ForkWatcher(hub, (forks) => {
      this.#forks = forks;
      this.#see(this.state);
      changed();
    });
    this.#end = hub.conversation(stream, this.#receive, {
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
        this.failed = errorNotice(error);
        changed();
      },
    });
  }

  /** The messages that have several versions. */
  get versions(): ReadonlyMap<ChatMessage, Versions> {
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
    this.#watcher.stop();
    this.participants.leave();
  }

  readonly #receive = (state: State): void => {
    if (this.#left) return;
    if (state.branches !== this.#latest.branches) this.#watcher.follow(this.stream, state.branches);
    this.#latest = state;
    this.known = true;
    this.listener.received(state);
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
