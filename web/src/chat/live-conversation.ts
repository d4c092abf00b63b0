/**
 * A conversation that is followed live: its messages, their versions, and its members.
 *
 * The client reports a state for each batch of events. The newest is rendered at most once a
 * frame, so `state` here is the one on the screen.
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
  /** Called at once, with each state. */
  received(state: State): void;
  lagged(records: number): void;
  /** Something needs to be rendered; `state` is only given if it is new. */
  changed(state?: State): void;
}

export class LiveConversation {
  state: State = EMPTY;
  lag = 0;
  /** The contents are known, even if there are none yet. */
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
        // An empty conversation is a change, too.
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

  /** The latest state, rendered or not. */
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
