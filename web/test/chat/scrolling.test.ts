// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Scrolling } from "../../src/chat/scrolling.js";

/** A box of 100 pixels with contents of a given height, which scrolls as a browser's does. */
class Box {
  readonly element = document.createElement("div");
  #height = 1000;
  #top = 0;

  constructor() {
    Object.defineProperties(this.element, {
      clientHeight: { value: 100 },
      scrollHeight: { get: () => this.#height },
      scrollTop: { get: () => this.#top, set: (top: number) => (this.#top = Math.max(0, Math.min(top, this.#height - 100))) },
      scrollTo: { value: ({ top }: ScrollToOptions) => (this.element.scrollTop = top ?? 0) },
    });
    document.body.append(this.element);
  }

  get fromEnd(): number {
    return this.#height - 100 - this.#top;
  }

  grow(by: number): void {
    this.#height += by;
    scrolling.keep();
  }

  /** The reader scrolls, by whatever means. */
  scroll(by: number): void {
    this.element.scrollTop += by;
    this.element.dispatchEvent(new Event("scroll"));
  }

  tell(event: Event): void {
    this.element.dispatchEvent(event);
  }
}

let box: Box;
let scrolling: Scrolling;
let changed = vi.fn();

beforeEach(() => {
  box = new Box();
  changed = vi.fn();
  scrolling = new Scrolling(box.element, document.createElement("div"), changed);
  scrolling.keep();
});
afterEach(() => {
  scrolling.close();
  document.body.replaceChildren();
});

describe("scrolling", () => {
  it("follows the end while the reader is there", () => {
    box.grow(500);
    expect(box.fromEnd).toBe(0);
    scrolling.news();
    expect(scrolling.unseen).toBe(false);
  });

  it.each([
    ["the wheel", () => new WheelEvent("wheel", { deltaY: -1 })],
    ["a key", () => new KeyboardEvent("keydown", { key: "PageUp" })],
  ])("yields to %s before anything has moved", (_, event) => {
    box.tell(event());
    box.grow(500);
    expect(box.fromEnd).toBe(500);
    scrolling.news();
    expect(scrolling.unseen).toBe(true);
  });

  it("yields to the scrollbar, by the place alone, up to the top", () => {
    box.scroll(-1e6);
    box.grow(500);
    expect(scrolling.following).toBe(false);
    expect(box.element.scrollTop).toBe(0);
  });

  it("does not yield to a wheel that goes down, or where nothing scrolls", () => {
    box.tell(new WheelEvent("wheel", { deltaY: 5 }));
    expect(scrolling.following).toBe(true);
    box.grow(-900);
    box.tell(new WheelEvent("wheel", { deltaY: -5 }));
    expect(scrolling.following).toBe(true);
  });

  it("follows again when the reader comes back to the end, near enough", () => {
    box.scroll(-300);
    scrolling.news();
    box.scroll(200);
    expect(scrolling.following).toBe(false);
    box.scroll(70);
    expect(scrolling.following).toBe(true);
    expect(scrolling.unseen).toBe(false);
    box.grow(500);
    expect(box.fromEnd).toBe(0);
  });

  it("is not taken in by contents that shrink", () => {
    box.grow(-300);
    box.scroll(0);
    expect(scrolling.following).toBe(true);
  });

  it("holds still while a button is held, and catches up", () => {
    box.tell(new PointerEvent("pointerdown", { pointerType: "mouse" }));
    box.grow(500);
    expect(box.fromEnd).toBe(500);
    globalThis.dispatchEvent(new PointerEvent("pointerup"));
    expect(box.fromEnd).toBe(0);
  });

  it("goes to the end when asked, and by the End key", () => {
    for (const go of [() => { scrolling.toEnd(true); }, () => { box.tell(new KeyboardEvent("keydown", { key: "End" })); }]) {
      box.scroll(-500);
      expect(scrolling.following).toBe(false);
      go();
      expect(box.fromEnd).toBe(0);
      expect(scrolling.following).toBe(true);
    }
  });

  it("keeps what is read where it is when something comes above", () => {
    box.scroll(-300);
    const mark = scrolling.mark();
    box.grow(700);
    scrolling.restore(mark);
    expect(box.fromEnd).toBe(300);
  });

  it("listens no longer when closed", () => {
    scrolling.close();
    box.tell(new WheelEvent("wheel", { deltaY: -1 }));
    expect(scrolling.following).toBe(true);
  });
});
