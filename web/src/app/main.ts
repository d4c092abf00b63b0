/**
 * The chat page, which shows the conversation that the address names.
 *
 *     address ──▶ route ──▶ stage (<hub-chat>) ──▶ its state ──▶ list, bar, title
 *
 * Every change goes through `go` (another address) or `draw` (the same one again); nothing here
 * runs for each token of a reply.
 */

// First: the policy must exist before anything makes a script URL or markup.
import "./trusted-types.js";

import "../chat/index.js";

import { render } from "lit";

import type { ScrollRestore } from "../chat/scroll-restore.js";
import { connect } from "../client/index.js";
import { documentTitle, titleOf, UNTITLED } from "../model/title.js";
import { dialogOpen } from "../ui/dialogs.js";
import { menuOpen, toggleMenu } from "../ui/menu.js";
import { bar, type BarCallbacks } from "./bar.js";
import { entryChoices, exportChoices, shareChoices } from "./conversation-actions.js";
import { ConversationList } from "./conversation-list.js";
import { Drawer } from "./drawer.js";
import { showKeys } from "./key-help.js";
import { type KeyBindings, listenForKeys } from "./keys.js";
import { LocalStore, scopeOf } from "./local-store.js";
import { ModelPicker } from "./model-picker.js";
import { newName } from "./names.js";
import { hashOf, type Route, routeOf } from "./route.js";
import { watchRunning } from "./running.js";
import { inOrder, sidebar, type SidebarCallbacks } from "./sidebar.js";
import { Stage } from "./stage.js";
import { ThemeChoice } from "./theme.js";

const SINGLES = "keys";

class Page {
  #route: Exclude<Route, { kind: "new" }> = { kind: "unknown", what: "" };
  /** The search query; `undefined` while there is no search. */
  #query: string | undefined;
  #drawing = false;
  readonly #hub = connect(new URL(".", location.href).href);
  readonly #store = new LocalStore(scopeOf(location.href));
  readonly #conversations = new ConversationList(this.#store);
  readonly #side = byId("sidebar");
  readonly #bar = byId("bar");
  readonly #main = byId("main");
  readonly #drawer = new Drawer(this.#side, byId("front"), byId("scrim"), this.#store, () => {
    this.#drawSoon();
  });
  readonly #theme = new ThemeChoice(this.#store, () => {
    this.#drawSoon();
  });
  readonly #models = new ModelPicker(this.#store, (model) => {
    this.#stage.model(model);
    this.#drawSoon();
  });
  readonly #stage: Stage = new Stage(this.#main, this.#hub, this.#models.element, {
    changed: () => {
      this.#note();
    },
    lagged: (records) => {
      const status = this.#bar.querySelector("hub-status");
      if (status) status.lag = records;
    },
    forked: (stream, restore) => {
      this.#go(this.#route.kind === "view" ? "view" : "conversation", stream, restore);
      // This is a new version, and the button that was pressed is gone.
      if (!restore) this.#composeByHand();
    },
  });

  start(): void {
    addEventListener("hashchange", () => {
      this.#follow();
    });
    this.#conversations.onChange(() => {
      this.#drawSoon();
    });
    this.#hub.onStatus(({ state }) => {
      if (state === "live") void this.#models.ask(this.#hub);
    });
    byId("skip").addEventListener("click", (event) => {
      // A jump within the page must not change the address, which names the conversation.
      event.preventDefault();
      if (!this.#stage.compose()) this.#main.focus();
    });
    watchRunning(this.#conversations, this.#hub, () => this.#name);
    listenForKeys(this.#keyBindings, () => this.#singles, () => menuOpen() || dialogOpen());
    this.#follow();
    this.#composeByHand();
  }

  /** Focus the composer, unless that would open an on-screen keyboard. */
  #composeByHand(): boolean {
    return matchMedia("(pointer: fine)").matches && this.#stage.compose();
  }

  /** The name of the current conversation. */
  get #name(): string | undefined {
    return this.#route.kind === "unknown" ? undefined : this.#route.name;
  }

  get #begun(): boolean {
    return this.#stage.state.turns.length > 0;
  }

  get #title(): string {
    if (this.#route.kind === "unknown") return "Not found";
    const kept = this.#conversations.find(this.#route.name)?.title;
    return kept === undefined || kept === "" ? (titleOf(this.#stage.state) ?? UNTITLED) : kept;
  }

  /** Show the conversation of the address. */
  #follow(restore?: ScrollRestore): void {
    const said = routeOf(location.hash);
    const route = said.kind === "new" ? ({ kind: "conversation", name: newName() } as const) : said;
    if (route.kind !== "unknown") {
      // An old link, or none: replace the address without adding to the history.
      history.replaceState(null, "", hashOf(route.kind, route.name));
      if (route.kind === this.#route.kind && route.name === this.#name) return;
    }
    this.#route = route;
    const focused = this.#main.contains(document.activeElement);
    const writing = this.#main.querySelector("hub-chat")?.shadowRoot?.activeElement instanceof HTMLTextAreaElement;
    this.#stage.show(route, this.#models.chosen, restore);
    if (focused && !restore && !(writing && this.#composeByHand())) this.#main.focus();
    this.#draw();
  }

  #go(kind: "conversation" | "view", name: string, restore?: ScrollRestore): void {
    history.pushState(null, "", hashOf(kind, name));
    this.#follow(restore);
  }

  /** Start a new conversation, unless this one is still empty. */
  #fresh(): void {
    this.#drawer.close();
    if (this.#route.kind !== "conversation" || this.#begun || this.#conversations.find(this.#route.name)) {
      this.#go("conversation", newName());
    }
    this.#stage.compose();
  }

  /** A conversation left the list; if it is the current one, start a new one. */
  #left(name: string): void {
    if (name !== this.#name) return;
    history.replaceState(null, "", hashOf("conversation", newName()));
    this.#follow();
  }

  /** Go to the conversation above or below this one in the list. */
  #neighbour(step: 1 | -1): boolean {
    const names = inOrder(this.#conversations.entries, this.#query ?? "").map(({ entry }) => entry.name);
    const now = names.indexOf(this.#name ?? "");
    const next = names[now === -1 ? 0 : now + step];
    if (next === undefined) return false;
    this.#go("conversation", next);
    return true;
  }

  #toggleList(button?: HTMLElement): void {
    const focused = [this.#side, this.#bar].some((part) => part.contains(document.activeElement));
    this.#drawer.toggle(button);
    this.#draw();
    if (this.#drawer.modal || !focused || button?.isConnected) return;
    // The button that had the focus is gone; focus its counterpart.
    (this.#drawer.shown ? this.#side : this.#bar).querySelector("button")?.focus();
  }

  #search(): void {
    this.#query ??= "";
    this.#drawer.open();
    this.#draw();
    document.getElementById("search")?.focus();
  }

  #showKeys(): void {
    void showKeys(this.#singles, (on) => {
      this.#store.set(SINGLES, on);
    });
  }

  get #singles(): boolean {
    return this.#store.get(SINGLES) !== false;
  }

  /** Update the list entry of the current conversation. */
  #note(): void {
    const { state } = this.#stage;
    const name = this.#name;
    const last = state.turns.at(-1);
    const known = this.#conversations.find(name ?? "");
    // A conversation that was deleted in another tab looks like a closed one here.
    const lost = state.closed && !known;
    if (this.#route.kind === "conversation" && name && last && !lost) {
      const at = Date.parse((last.kind === "reply" ? last.startedAt : last.at) ?? "");
      this.#conversations.put(name, {
        ...(known?.named ? {} : { title: titleOf(state) ?? known?.title ?? UNTITLED }),
        at: Number.isNaN(at) ? (known?.at ?? Date.now()) : at,
        from: state.branches.find((branch) => branch.from !== undefined)?.from ?? known?.from,
        running: state.running.at(-1),
      });
    }
    this.#drawSoon();
  }

  /** Draw once for all changes of one turn of the event loop. */
  #drawSoon(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#draw();
    });
  }

  readonly #keyBindings: KeyBindings = {
    list: () => {
      this.#showKeys();
    },
    fresh: () => {
      this.#fresh();
    },
    search: () => {
      this.#search();
    },
    compose: () => this.#stage.compose(),
    sidebar: () => {
      this.#toggleList();
    },
    above: () => this.#neighbour(-1),
    below: () => this.#neighbour(1),
    stop: () => {
      if (!this.#drawer.modal) return this.#stage.stop();
      this.#drawer.close();
      return true;
    },
  };

  readonly #sidebarCallbacks: SidebarCallbacks = {
    fresh: () => {
      this.#fresh();
    },
    hide: () => {
      this.#toggleList();
    },
    keys: () => {
      this.#showKeys();
    },
    chosen: () => {
      this.#drawer.close();
    },
    search: (query) => {
      this.#query = query;
      this.#drawSoon();
    },
    menu: (entry, button) => {
      toggleMenu(button, entryChoices(entry, this.#conversations, this.#hub.url, (name) => {
        this.#left(name);
      }));
    },
    theme: (theme) => {
      this.#theme.choose(theme);
    },
  };

  readonly #barCallbacks: BarCallbacks = {
    list: (button) => {
      this.#toggleList(button);
    },
    fresh: () => {
      this.#fresh();
    },
    share: (button) => {
      if (this.#name) toggleMenu(button, shareChoices(this.#name));
    },
    export: (button) => {
      if (this.#name) toggleMenu(button, exportChoices(this.#title, this.#name, () => this.#stage.state));
    },
  };

  #draw(): void {
    this.#drawing = false;
    const title = this.#title;
    const { state } = this.#stage;
    const answered = state.turns.findLast((turn) => turn.kind === "reply");
    document.title = documentTitle(title, state.running.length > 0);
    render(
      sidebar(
        {
          entries: this.#conversations.entries,
          current: this.#name,
          query: this.#query,
          theme: this.#theme.theme,
          now: new Date(),
        },
        this.#sidebarCallbacks,
      ),
      this.#side,
    );
    render(
      bar(
        {
          title,
          model: answered?.model ?? answered?.upstream,
          view: this.#route.kind === "view",
          begun: this.#begun,
          listShown: this.#drawer.shown && !this.#drawer.modal,
        },
        this.#hub,
        this.#barCallbacks,
      ),
      this.#bar,
    );
  }
}

function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

new Page().start();
