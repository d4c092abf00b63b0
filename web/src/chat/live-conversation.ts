/**
 * A conversation that is followed live: its messages, their versions, and its members.
 *
 * The client reports a state for each batch of events. The newest is rendered at most once a
 * frame, so `state` here is the one on the screen.
 */

import type { Hub } from "../client/hub.js";
import { chosen, type Versions, versions } from "../model/branches.js";
import { EMPTY, type State } from "../model/conversation.js";
import type { Branch } from "../protocol/events.js";
import { forget, nextFrame } from "../ui/frames.js";
import { ChosenBranch } from "./chosen-branch.js";
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
  /** The latest with the branch that the stream is on. */
  #followed: State = EMPTY;
  readonly #branch: ChosenBranch;
  /** The branch that was shown before one that is not there yet. */
  #branchBefore: string | undefined;
  #forks: ReadonlyMap<string, readonly Branch[]> = new Map();
  #versions: ReadonlyMap<string, Versions> = new Map();
  readonly #watcher: ForkWatcher;
  readonly #end: () => void;
  #left = false;

  constructor(
    hub: Hub,
    readonly stream: string,
    private readonly listener: ConversationListener,
    { account, branch }: { readonly account: string; readonly branch?: string | undefined },
  ) {
    this.#branch = new ChosenBranch(account ? `${hub.url}@${account}` : hub.url, stream, branch);
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

  /** The versions of the turns that have several, by `keyOf`. */
  get versions(): ReadonlyMap<string, Versions> {
    return this.#versions;
  }

  /** The latest state, rendered or not. */
  get latest(): State {
    return this.#latest;
  }

  /** The reply that runs on a branch that is not shown. */
  get elsewhere(): string | undefined {
    const { running, turns } = this.state;
    return running.find((generation) => !turns.some((turn) => turn.kind === "reply" && turn.generation === generation));
  }

  /** Show the branch of a turn, by its name or the name that it will have. */
  choose(name: string): void {
    this.#branchBefore = this.#branch.name;
    this.#branch.choose(name);
    this.#update(this.#followed);
    this.#show();
  }

  /** Show the branch of a generation, if not the one is shown that the stream is on. */
  began(generation: string): void {
    if (this.#branch.name !== undefined) this.choose(generation);
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
    this.known = true;
    this.#update(state);
    nextFrame(this.#show);
  };

  #update(state: State): void {
    this.#followed = state;
    this.#latest = chosen(state, this.#branch.name, this.#branchBefore);
    this.listener.received(this.#latest);
  }

  readonly #show = (): boolean => {
    const state = this.#latest;
    const { turns, all, branches } = this.state;
    const isOther = state.all.length !== all.length || state.turns.at(-1)?.before !== turns.at(-1)?.before;
    if (isOther || state.branches !== branches) this.#see(state);
    this.state = state;
    this.listener.changed(state);
    return false;
  };

  #see(state: State): void {
    this.#versions = versions(this.stream, state, this.#forks);
  }
}
