/**
 * Renders Markdown while it is being written.
 *
 * The text is split into blocks (lex.ts). A finished block is parsed, sanitized and inserted once.
 * After that its nodes are not touched, so a selection in it stays and it costs nothing more. The
 * unfinished end is parsed again in each frame in which it changed, and its nodes are updated
 * (morph.ts). The work in a frame is bounded: a long text that arrives at once takes several.
 *
 * The result depends only on the text, not on the pieces in which it arrived.
 *
 * A finished block can only change when a link definition arrives that it refers to. Then it is
 * parsed once more, and only the words that became a link change.
 */

import { copyText } from "../ui/clipboard.js";
import { forget, nextFrame } from "../ui/frames.js";
import { codeAround, CodeBlock } from "./code.js";
import { type Block, Blocks } from "./lex.js";
import { mendBlock, mendLine } from "./mend.js";
import { morphAfter, trimAfter } from "./morph.js";
import { inside, type References, shape, word } from "./render.js";

/** Where the next block goes: after `last`, or into `list` after `item`. */
interface Place {
  readonly last: ChildNode | null;
  readonly list: Element | null;
  readonly item: ChildNode | null;
}

/** A finished block that refers to definitions that have not arrived. */
interface Dangling {
  readonly source: string;
  readonly missed: Set<string>;
  readonly nodes: readonly ChildNode[];
  /** The nodes are list items. */
  readonly inList: boolean;
}

const START: Place = { last: null, list: null, item: null };
/** The most characters to split into blocks at a time. */
const PIECE = 32_768;
const ANNOUNCED_FOR = 2_000;

export class StreamingMarkdown {
  private readonly root = document.createElement("div");
  private readonly announced = document.createElement("span");
  private text = "";
  private done = false;
  /** The part of the text that is split into blocks. */
  private read = "";
  private finished = false;
  private blocks = new Blocks();
  private queue: Block[] = [];
  private place = START;
  private growing: { index: number; block: CodeBlock } | null = null;
  private references: References = { known: new Map(), missed: new Set() };
  private dangling: Dangling[] = [];
  private stale = new Set<Dangling>();

  constructor(host: HTMLElement | ShadowRoot) {
    this.root.className = "hub-markdown";
    this.announced.className = "hub-told";
    this.announced.setAttribute("role", "status");
    this.root.addEventListener("click", (event) => void this.copy(event.target));
    host.append(this.root, this.announced);
  }

  /** Show this text in the next frame; `done` if it is complete. */
  set(text: string, done: boolean): void {
    if (text === this.text && done === this.done) return;
    this.text = text;
    this.done = done;
    nextFrame(this.work);
  }

  clear(): void {
    forget(this.work);
    this.text = "";
    this.done = false;
    this.begin();
    this.root.replaceChildren();
  }

  /** Start over with a different text; the nodes stay where it is the same, as for an unfinished end. */
  private begin(): void {
    this.read = "";
    this.finished = false;
    this.blocks = new Blocks();
    this.queue = [];
    this.place = START;
    this.growing = null;
    this.references = { known: new Map(), missed: new Set() };
    this.dangling = [];
    this.stale = new Set();
  }

  private readonly work = (until: number): boolean => {
    const isExtension = this.text.startsWith(this.read) && (!this.finished || this.text === this.read);
    if (!isExtension) this.begin();
    do {
      if (this.queue.length === 0) this.cut();
      const [block] = this.queue;
      if (block !== undefined) this.finish(block, until);
      else if (this.mayReadOn()) continue;
      else if (this.stale.size > 0) this.resolve();
      else return this.showEnd(until);
    } while (performance.now() < until);
    return true;
  };

  private finish(block: Block, until: number): void {
    const { place, whole } = this.put(block, this.place, true, until);
    if (!whole) return;
    this.queue.shift();
    this.place = place;
  }

  private mayReadOn(): boolean {
    return !this.finished && this.whatIsNext() !== "";
  }

  /** The next piece, without an incomplete line end or character at its end. */
  private whatIsNext(): string {
    const piece = this.text.slice(this.read.length, this.read.length + PIECE);
    const isLast = this.read.length + piece.length === this.text.length;
    return isLast && this.done ? piece : piece.replace(/[\r\ud800-\udbff]$/, "");
  }

  private cut(): void {
    if (this.finished) return;
    const piece = this.whatIsNext();
    this.read = this.text.slice(0, this.read.length + piece.length);
    if (piece !== "") this.queue.push(...this.blocks.feed(legible(piece)));
    if (!this.done || this.read.length < this.text.length) return;
    this.queue.push(...this.blocks.finish());
    this.finished = true;
  }

  /** Show the unfinished end, after all finished blocks. */
  private showEnd(until: number): boolean {
    const blocks = this.finished ? [] : this.blocks.tail(mendLine);
    let [place, isMore] = [this.place, false];
    for (const [i, block] of blocks.entries()) {
      const isLast = i === blocks.length - 1;
      const source = isLast && block.kind !== "fence" ? mendBlock(block.source) : block.source;
      const shown = this.put({ ...block, source }, place, false, until);
      place = shown.place;
      isMore = !shown.whole;
    }
    if (place.list !== null) trimAfter(place.list, place.item);
    trimAfter(this.root, place.last);
    return isMore;
  }

  /** Show a block at its place; returns the next place, and whether the block is complete. */
  private put(block: Block, place: Place, final: boolean, until: number): { place: Place; whole: boolean } {
    if (block.kind === "fence") return this.putFence(block, place, final, until);
    const missed = new Set<string>();
    const known = final ? this.references.known : new Map(this.references.known);
    const before = known.size;
    const nodes = shape(block.source, { known, missed });
    const items = nodes.flatMap(inside).length;
    const next = this.join(block, place, nodes) ?? this.follow(block, place, nodes);
    if (final && known.size > before) this.findStale();
    if (final && missed.size > 0) this.remember(block, missed, next, next.list === null ? nodes.length : items);
    return { place: next, whole: true };
  }

  /** Insert an item into the list of the item before, if it belongs to it. */
  private join(block: Block, { last, list, item }: Place, nodes: ChildNode[]): Place | null {
    const [first, ...rest] = nodes;
    if (!block.joins || list === null || !(first instanceof Element)) return null;
    if (first.tagName !== list.tagName) return null;
    const joined = morphAfter(list, item, inside(first));
    if (rest.length === 0) return { last, list, item: joined };
    trimAfter(list, joined);
    return { last: morphAfter(this.root, last, rest), list: null, item: null };
  }

  private follow(block: Block, place: Place, nodes: ChildNode[]): Place {
    if (place.list !== null) trimAfter(place.list, place.item);
    const last = morphAfter(this.root, place.last, nodes);
    const isList = block.kind === "item" && nodes.length === 1 && last instanceof Element;
    return isList ? { last, list: last, item: last.lastChild } : { last, list: null, item: null };
  }

  private putFence(block: Block, place: Place, final: boolean, until: number): { place: Place; whole: boolean } {
    if (place.list !== null) trimAfter(place.list, place.item);
    if (this.growing?.index !== block.index) {
      this.growing = { index: block.index, block: new CodeBlock() };
      const behind = place.last === null ? this.root.firstChild : place.last.nextSibling;
      this.root.insertBefore(this.growing.block.element, behind);
    }
    const { block: shown } = this.growing;
    const code = final ? block.source : block.source.replace(/\n$/, "");
    const whole = shown.set(code, word(block.info), until);
    if (final && whole) this.growing = null;
    return { place: { last: shown.element, list: null, item: null }, whole };
  }

  private remember({ source }: Block, missed: Set<string>, at: Place, count: number): void {
    const inList = at.list !== null;
    const nodes: ChildNode[] = [];
    let node = inList ? at.item : at.last;
    for (; node !== null && nodes.length < count; node = node.previousSibling) nodes.unshift(node);
    this.dangling.push({ source, missed, nodes, inList });
  }

  private findStale(): void {
    for (const block of this.dangling) {
      for (const label of block.missed) {
        if (this.references.known.has(label)) this.stale.add(block);
      }
    }
  }

  private resolve(): void {
    const [block] = this.stale;
    if (block === undefined) return;
    this.stale.delete(block);
    block.missed.clear();
    const shaped = shape(block.source, { known: new Map(this.references.known), missed: block.missed });
    const nodes = block.inList ? shaped.flatMap(inside) : shaped;
    const [first] = block.nodes;
    if (nodes.length !== block.nodes.length || !first?.parentNode) return;
    morphAfter(first.parentNode, first.previousSibling, nodes);
  }

  private async copy(clicked: EventTarget | null): Promise<void> {
    const button = clicked instanceof Element ? clicked.closest(".hub-copy") : null;
    const code = button && codeAround(button);
    if (button === null || code === null) return;
    const copied = await copyText(code.replace(/\n$/, ""));
    button.textContent = copied ? "Copied" : "Not copied";
    this.announced.textContent = copied ? "Code copied" : "The browser refused to copy the code";
    setTimeout(() => {
      button.textContent = "Copy";
      this.announced.textContent = "";
    }, ANNOUNCED_FOR);
  }
}

/** Normalize line ends, and replace lone surrogates and NUL. */
function legible(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/\0|\p{Surrogate}/gu, "\ufffd");
}
