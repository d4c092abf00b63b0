/**
 * A box that follows its end while the reader is there, and stops at once when the reader leaves.
 *
 * Scrolling up is detected by input (wheel, keys, touch, selecting text, the scrollbar), before the
 * browser has scrolled: if only the scroll position counted, new text could throw the reader back
 * to the end in between. Following starts again when the reader returns to the end. It reacts to
 * the size of the contents, so it does not matter why they grow.
 */

/** Within this many pixels of the end, scrolling down counts as reaching it while text arrives. */
const NEAR = 48;
/** From more than this many screens away, it jumps instead of scrolling smoothly. */
const FAR = 3;
const UPWARD = new Set(["ArrowUp", "PageUp", "Home"]);

interface Mark {
  readonly fromEnd: number;
}

interface Pin {
  readonly one: Element;
  readonly top: number;
}

export class Scrolling {
  following = true;
  /** New text has arrived below the visible part. */
  unseen = false;
  #top = 0;
  #finger = 0;
  #held = false;
  #pinned: Pin | undefined;
  readonly #sizes: ResizeObserver;
  readonly #ended = new AbortController();

  constructor(
    readonly box: HTMLElement,
    contents: HTMLElement,
    private readonly changed: () => void,
  ) {
    const { signal } = this.#ended;
    const passive = { signal, passive: true };
    for (const input of ["wheel", "keydown", "touchmove", "pointerdown"]) box.addEventListener(input, this.#unpin, passive);
    box.addEventListener("scroll", this.#scrolled, passive);
    // A smooth scroll ends where the end was when it started.
    box.addEventListener("scrollend", this.#arrived, passive);
    box.addEventListener("wheel", this.#wheeled, passive);
    box.addEventListener("keydown", this.#pressed, { signal });
    box.addEventListener("touchstart", this.#touched, passive);
    box.addEventListener("touchmove", this.#moved, passive);
    box.addEventListener("pointerdown", this.#grabbed, passive);
    for (const over of ["pointerup", "pointercancel", "blur"]) {
      globalThis.addEventListener(over, this.#released, { signal });
    }
    document.addEventListener("selectionchange", this.#selected, { signal });
    this.#sizes = new ResizeObserver(() => {
      this.keep();
    });
    this.#sizes.observe(contents);
    this.#sizes.observe(box);
  }

  close(): void {
    this.#ended.abort();
    this.#sizes.disconnect();
  }

  /** Stay at the end if the reader is there. */
  keep(): void {
    if (this.#pinned?.one.isConnected) this.#stay(this.#pinned);
    if (this.#pinned) return;
    if (!this.following || this.#held) return;
    this.box.scrollTop = this.box.scrollHeight;
    this.#top = this.box.scrollTop;
  }

  /** New text has arrived. */
  news(): void {
    if (!this.following && !this.unseen) {
      this.unseen = true;
      this.changed();
    }
  }

  /** Go to the end, and follow it from now on. */
  toEnd(smooth = false): void {
    this.#held = false;
    this.#pinned = undefined;
    this.#turn(true);
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const isFar = scrollHeight - scrollTop > FAR * clientHeight;
    if (!smooth || isFar || matchMedia("(prefers-reduced-motion: reduce)").matches) this.keep();
    else this.box.scrollTo({ top: this.box.scrollHeight, behavior: "smooth" });
  }

  /** How far an element is below the upper edge of the visible part. */
  topOf(one: Element): number {
    return one.getBoundingClientRect().top - this.box.getBoundingClientRect().top;
  }

  /** Keep an element this far below the upper edge until the reader scrolls. */
  pin(one: Element, top: number): void {
    this.#pinned = { one, top };
    this.keep();
  }

  #stay({ one, top }: Pin): void {
    this.box.scrollTop += this.topOf(one) - top;
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    this.#top = scrollTop;
    this.#turn(scrollHeight - clientHeight - scrollTop <= 1);
  }

  /** The scroll position, to restore after something was inserted above. */
  mark(): Mark {
    return { fromEnd: this.box.scrollHeight - this.box.scrollTop };
  }

  restore({ fromEnd }: Mark): void {
    if (this.following) return;
    this.box.scrollTop = this.box.scrollHeight - fromEnd;
    this.#top = this.box.scrollTop;
  }

  #turn(following: boolean): void {
    if (following === this.following && !this.unseen) return;
    this.following = following;
    if (following) this.unseen = false;
    this.changed();
  }

  /** Stop following, unless everything fits without scrolling. */
  #yield(): void {
    if (this.following && this.box.scrollTop > 0) this.#turn(false);
  }

  readonly #scrolled = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const fromEnd = scrollHeight - clientHeight - scrollTop;
    if (scrollTop < this.#top - 1 && fromEnd > 1) this.#turn(false);
    else if (fromEnd <= NEAR && scrollTop > this.#top) this.#turn(true);
    this.#top = scrollTop;
  };

  readonly #unpin = (): void => {
    this.#pinned = undefined;
  };

  readonly #wheeled = ({ deltaY }: WheelEvent): void => {
    if (deltaY < 0) this.#yield();
  };

  readonly #arrived = (): void => {
    this.keep();
  };

  readonly #pressed = (event: KeyboardEvent): void => {
    if (event.target instanceof HTMLTextAreaElement) return;
    if (UPWARD.has(event.key) || (event.key === " " && event.shiftKey)) this.#yield();
    else if (event.key === "End") this.toEnd();
  };

  readonly #touched = (event: TouchEvent): void => {
    this.#finger = event.touches[0]?.clientY ?? 0;
  };

  readonly #moved = (event: TouchEvent): void => {
    if ((event.touches[0]?.clientY ?? 0) > this.#finger) this.#yield();
  };

  /** While a button is held, text may be selected, so nothing moves below the pointer. */
  readonly #grabbed = (event: PointerEvent): void => {
    if (event.pointerType !== "touch") this.#held = true;
  };

  readonly #released = (): void => {
    if (!this.#held) return;
    this.#held = false;
    this.#selected();
    this.keep();
  };

  readonly #selected = (): void => {
    const selection = selectionIn(this.box.getRootNode());
    if (selection?.type === "Range" && selection.anchorNode && this.box.contains(selection.anchorNode)) {
      this.#yield();
    }
  };
}

/** The selection inside a shadow tree, which some browsers report only there. */
function selectionIn(root: Node): Selection | null {
  if ("getSelection" in root && typeof root.getSelection === "function") {
    return (root.getSelection as () => Selection | null).call(root);
  }
  return document.getSelection();
}
