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
import { shownAside } from "../model/branches.js";
import { documentTitle, titleOf, UNTITLED } from "../model/title.js";
import { dialogOpen } from "../ui/dialogs.js";
import { menuOpen, toggleMenu } from "../ui/menu.js";
import { type Account, askWho, LastAccount, signOut, watchAccount } from "./account.js";
import { bar, type BarCallbacks } from "./bar.js";
import { entryChoices, exportChoices, shareChoices } from "./conversation-actions.js";
import { ConversationList } from "./conversation-list.js";
import { Drawer } from "./drawer.js";
import { showKeys } from "./key-help.js";
import { type KeyBindings, listenForKeys } from "./keys.js";
import { ListSync } from "./list-sync.js";
import { LocalStore, scopeOf } from "./local-store.js";
import { MessageSearch } from "./message-search.js";
import { ModelPicker } from "./model-picker.js";
import { newName } from "./names.js";
import { notice } from "../ui/notice.js";
import { hashOf, type Route, routeOf } from "./route.js";
import { watchRunning } from "./running.js";
import { showShareLinks } from "./share-dialog.js";
import { showSignIn } from "./sign-in.js";
import { inOrder, SHOWN, sidebar, type SidebarCallbacks } from "./sidebar.js";
import { Stage } from "./stage.js";
import { ThemeChoice } from "./theme.js";

const SINGLES = "keys";
const ROOT = new URL(".", location.href).href;
const PLACE = `streamhub:${scopeOf(location.href)}:place`;
const SUBJECT = `streamhub:${scopeOf(location.href)}:subject`;
/** How long to wait before the hub is asked again who uses the page, in milliseconds. */
const AGAIN = 2000;

class Page {
  #route: Exclude<Route, { kind: "new" }> = { kind: "unknown", what: "" };
  /** The search query; `undefined` while there is no search. */
  #query: string | undefined;
  /** The most conversations that the list shows. */
  #most = SHOWN;
  #drawing = false;
  readonly #hub;
  readonly #store = new LocalStore(scopeOf(location.href));
  readonly #conversations;
  readonly #messages;
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
  readonly #stage: Stage;

  constructor(
    private readonly account: Account,
    private readonly last: LastAccount,
  ) {
    this.#hub = connect(ROOT, { account: account.subject });
    this.#conversations = new ConversationList(
      new LocalStore(scopeOf(location.href, account.subject)),
      account.conversations !== null,
    );
    this.#messages = new MessageSearch(this.#hub, () => {
      this.#drawSoon();
    });
    this.#stage = new Stage(this.#main, this.#hub, this.#models.element, account, {
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
  }

  start(): void {
    addEventListener("hashchange", () => {
      this.#follow();
    });
    this.#conversations.onChange(() => {
      this.#drawSoon();
    });
    const { conversations } = this.account;
    if (conversations !== null) new ListSync(this.#conversations, this.#hub, conversations).start();
    this.#hub.onStatus(({ state }) => {
      if (state !== "live") return;
      void this.#models.ask(this.#hub);
    });
    byId("skip").addEventListener("click", (event) => {
      // A jump within the page must not change the address, which names the conversation.
      event.preventDefault();
      if (!this.#stage.compose()) this.#main.focus();
    });
    watchAccount(this.#hub, ROOT, this.account, this.last, (now) => {
      reload(this.account.subject, now, this.last);
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
    const route = said.kind === "new" ? this.#unnamed() : said;
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

  /** A new conversation, where this user may begin one. */
  #unnamed(): Exclude<Route, { kind: "new" }> {
    const { folder } = this.account;
    if (folder === null) return { kind: "unknown", what: "" };
    return { kind: "conversation", name: newName(folder) };
  }

  #go(kind: "conversation" | "view", name: string, restore?: ScrollRestore): void {
    history.pushState(null, "", hashOf(kind, name));
    this.#follow(restore);
  }

  /** Start a new conversation, unless this one is still empty. */
  #fresh(): void {
    this.#drawer.close();
    const { kind } = this.#route;
    const name = this.#name ?? "";
    // In a folder of others there is nothing to see, or to begin.
    const elsewhere = !name.startsWith(this.account.folder ?? "");
    if (kind !== "conversation" || this.#begun || elsewhere || this.#conversations.find(name)) {
      this.#leave(true);
    }
    this.#stage.compose();
  }

  /** A conversation left the list; if it is the current one, start a new one. */
  #left(name: string): void {
    if (name === this.#name) this.#leave(false);
  }

  /** Go to a new conversation; `back` leads to this one if it is `kept`. */
  #leave(kept: boolean): void {
    if (kept) history.pushState(null, "", "#/");
    else history.replaceState(null, "", "#/");
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

  /** Focus what is found in messages if the button for it had the focus, and is gone now. */
  #focusMessages(): void {
    this.#draw();
    if (!this.#side.contains(document.activeElement)) this.#side.querySelector<HTMLElement>(".messages")?.focus();
  }

  async #signOut(): Promise<void> {
    const elsewhere = await signOut(ROOT);
    if (elsewhere === undefined) {
      notice("You are still signed in: the hub cannot be reached. Try again.");
      return;
    }
    this.last.set("");
    forgetPlace();
    if (elsewhere) location.assign(new URL(elsewhere, ROOT));
    else location.reload();
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
    const last = state.all.at(-1);
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
      this.#most = SHOWN;
      this.#messages.stop();
      this.#drawSoon();
    },
    more: () => {
      const next = this.#most;
      this.#most += SHOWN;
      this.#draw();
      this.#side.querySelectorAll<HTMLElement>(".list a")[next]?.focus();
    },
    searchMessages: () => {
      this.#messages.start(this.#query ?? "", this.#conversations.entries);
      this.#focusMessages();
    },
    searchOlder: () => {
      void this.#messages.more();
      this.#focusMessages();
    },
    menu: (entry, button) => {
      toggleMenu(button, entryChoices(entry, this.#conversations, this.#hub.url, (name) => {
        this.#left(name);
      }));
    },
    theme: (theme) => {
      this.#theme.choose(theme);
    },
    signOut: () => void this.#signOut(),
  };

  readonly #barCallbacks: BarCallbacks = {
    list: (button) => {
      this.#toggleList(button);
    },
    fresh: () => {
      this.#fresh();
    },
    share: (button) => {
      const name = this.#name;
      if (!name) return;
      const links = (): void => void showShareLinks(this.#hub.url, name, shownAside(this.#stage.state));
      toggleMenu(button, shareChoices(name, this.account.sharesByLink ? links : undefined));
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
          most: this.#most,
          messages: this.#messages.progress,
          theme: this.#theme.theme,
          account: this.account,
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

/** Remember the conversation that the address names, for when this tab is back from signing in. */
function keepPlace(subject: string | undefined): void {
  try {
    sessionStorage.setItem(PLACE, JSON.stringify([subject ?? "", location.hash]));
  } catch {
    // No storage: then the page begins with a new conversation.
  }
}

function restorePlace(subject: string): void {
  try {
    const [whose, hash] = JSON.parse(sessionStorage.getItem(PLACE) ?? "[]") as [string?, string?];
    sessionStorage.removeItem(PLACE);
    const mine = whose === "" || whose === subject;
    if (mine && hash && routeOf(location.hash).kind === "new") history.replaceState(null, "", hash);
  } catch {
    // As above.
  }
}

/** Who was signed in when this tab was loaded the last time. */
function tabSubject(): string | undefined {
  try {
    return sessionStorage.getItem(SUBJECT) ?? undefined;
  } catch {
    return undefined;
  }
}

function setTabSubject(subject: string): void {
  try {
    sessionStorage.setItem(SUBJECT, subject);
  } catch {
    // As above.
  }
}

/** Leave the conversation that the address names. */
function forgetPlace(): void {
  history.replaceState(null, "", "./");
}

/** Load the page again for another user, who is not shown where the one before was. */
function reload(before: string | undefined, now: Account, last: LastAccount): void {
  const other = now.subject !== "" && now.subject !== before;
  if ((before && other) || last.subject === "") forgetPlace();
  location.reload();
}

async function start(): Promise<void> {
  const last = new LastAccount(new LocalStore(scopeOf(location.href)));
  let account = await askWho(ROOT);
  while (!account) {
    byId("main").textContent = "Waiting for the hub…";
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
    account = await askWho(ROOT);
  }
  byId("main").textContent = "";
  // Another tab may have another user already; after signing out there was none.
  const before = last.subject && (tabSubject() ?? last.subject);
  if (!account.allowed) {
    keepPlace(before);
    showSignIn(byId("main"), account, Boolean(before));
    watchAccount(undefined, ROOT, account, last, (now) => {
      reload(before, now, last);
    });
    return;
  }
  restorePlace(account.subject);
  // The address may name a conversation of whoever was here before.
  if (before && account.subject && before !== account.subject) forgetPlace();
  if (account.subject) {
    last.set(account.subject);
    setTabSubject(account.subject);
  }
  new Page(account, last).start();
}

void start();
