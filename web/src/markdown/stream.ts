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
import { forget, nextFrame, now } from "../ui/frames.js";
import { codeAround, CodeBlock } from "./code.js";
import { toggleDiagram } from "./diagram.js";
import { copyFormulas, typesetFormulas } from "./formulas.js";
import type { References } from "./inline.js";
import { type Block, Blocks } from "./lex.js";
import { mendBlock, mendLine } from "./mend.js";
import { morphAfter } from "./morph.js";
import { Place } from "./place.js";
import { shape, word } from "./render.js";

/** A finished block that refers to definitions that have not arrived. */
interface Dangling {
  readonly block: Block;
  readonly isFirstOfItem: boolean;
  readonly missed: Set<string>;
  /** The element with its text. */
  readonly element: Element;
}

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
  private place = Place.in(this.root);
  private growing: { index: number; block: CodeBlock } | null = null;
  private references: References = { known: new Map(), missed: new Set() };
  private dangling: Dangling[] = [];
  private stale = new Set<Dangling>();

  constructor(host: HTMLElement | ShadowRoot) {
    this.root.className = "hub-markdown";
    this.announced.className = "hub-told";
    this.announced.setAttribute("role", "status");
    this.root.addEventListener("click", (event) => void this.clicked(event.target));
    this.root.addEventListener("copy", copyFormulas);
    host.append(this.root, this.announced);
  }

  /**
   * Show this text in the next frame; `done` if it is complete. One that is complete from the beginning
   * is shown at once, so that what stands below it does not move away a moment later.
   */
  set(text: string, done: boolean): void {
    if (text === this.text && done === this.done) return;
    const isWhole = done && this.text === "";
    this.text = text;
    this.done = done;
    (isWhole ? now : nextFrame)(this.work);
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
    this.place = Place.in(this.root);
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
    typesetFormulas(until);
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
      const isText = isLast && block.kind !== "code";
      const { text: source, end } = isText ? mendBlock(block.source) : { text: block.source, end: undefined };
      const shown = this.put({ ...block, source }, place, false, until, end);
      place = shown.place;
      isMore = !shown.whole;
    }
    place.trim();
    typesetFormulas(until);
    return isMore;
  }

  /** Show a block at its place; returns the next place, and whether the block is complete. */
  private put(block: Block, before: Place, final: boolean, until: number, end?: number): { place: Place; whole: boolean } {
    const place = before.enter(block.within);
    if (block.kind === "code") return this.putCode(block, place, final, until);
    if (this.growing?.index === block.index) this.growing = null;
    const { isFirstOfItem } = place;
    const missed = new Set<string>();
    const known = final ? this.references.known : new Map(this.references.known);
    const count = known.size;
    const nodes = shape(block, { known, missed }, { isFirstOfItem, end });
    const next = follow(block, place, nodes);
    if (final && known.size > count) this.findStale();
    const element = final && missed.size > 0 ? textOf(block, next.newest) : null;
    if (element !== null) this.dangling.push({ block, isFirstOfItem, missed, element });
    return { place: next, whole: true };
  }

  private putCode(block: Block, place: Place, final: boolean, until: number): { place: Place; whole: boolean } {
    if (this.growing?.index !== block.index) this.growing = { index: block.index, block: new CodeBlock() };
    const { block: shown } = this.growing;
    const next = place.insert(shown.element);
    const code = final ? block.source : block.source.replace(/\n$/, "");
    const whole = shown.set(code, word(block.info), until);
    if (final && whole) {
      shown.finish();
      this.growing = null;
    }
    return { place: next, whole };
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
    const references = { known: new Map(this.references.known), missed: block.missed };
    const [shaped] = shape(block.block, references, { isFirstOfItem: block.isFirstOfItem });
    const wanted = textOf(block.block, shaped ?? null);
    const { element } = block;
    if (wanted !== null && element.parentNode !== null) morphAfter(element.parentNode, element.previousSibling, [wanted]);
  }

  private async clicked(target: EventTarget | null): Promise<void> {
    const button = target instanceof Element ? target.closest(".hub-copy, .hub-draw") : null;
    if (button === null) return;
    if (button.matches(".hub-draw")) {
      toggleDiagram(button, (text) => {
        this.announce(text);
      });
    } else await this.copy(button, codeAround(button) ?? "");
  }

  private async copy(button: Element, code: string): Promise<void> {
    const copied = await copyText(code.replace(/\n$/, ""));
    button.textContent = copied ? "Copied" : "Not copied";
    this.announce(copied ? "Code copied" : "The browser refused to copy the code", () => {
      button.textContent = "Copy";
    });
  }

  /** Tell it to those who do not see it; then forget it. */
  private announce(text: string, then?: () => void): void {
    this.announced.textContent = text;
    setTimeout(() => {
      this.announced.textContent = "";
      then?.();
    }, ANNOUNCED_FOR);
  }
}

/** Put the nodes of a block behind those before; a row and a part join what they belong to. */
function follow({ kind, part }: Block, place: Place, nodes: readonly ChildNode[]): Place {
  if (kind === "row") return place.join("rows", nodes);
  if (part === "next") return place.join("parts", nodes);
  const next = place.put(nodes);
  const { newest } = next;
  if (!(newest instanceof Element)) return next;
  const rows = kind === "table" ? newest.querySelector("tbody") : null;
  if (rows !== null) return next.growing("rows", rows);
  return part === "first" ? next.growing("parts", newest) : next;
}

/** The element with the text of a block, of which this is the last node. */
function textOf({ kind, part }: Block, node: ChildNode | null): Element | null {
  if (!(node instanceof Element)) return null;
  if (kind === "table") return node.querySelector("thead tr");
  return part === "first" && node.firstElementChild !== null ? node.firstElementChild : node;
}

/** Normalize line ends, and replace lone surrogates and NUL. */
function legible(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/\0|\p{Surrogate}/gu, "\ufffd");
}
