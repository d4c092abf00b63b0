/**
 * Keeps the place in the document where the next block goes, within lists and quotations.
 *
 * A place never changes; to put something there gives the next one. So an unfinished end can be put
 * behind the finished blocks again and again. Nodes that are there already are used again if they
 * fit (morph.ts), and what is left of them behind a place is removed when it is left.
 */

import type { Container, Item } from "./lex.js";
import { elementAfter, morphAfter, trimAfter } from "./morph.js";

/** An element that the next block may go on: a list, the rows of a table, or a long paragraph. */
interface Group {
  readonly id: string;
  readonly element: Element;
  readonly last: ChildNode | null;
}

/** The place within one element. */
interface Level {
  readonly parent: Element;
  readonly last: ChildNode | null;
  readonly group: Group | null;
}

export class Place {
  private constructor(
    /** Those of the elements around this one, the outermost first. */
    private readonly outer: readonly Level[],
    private readonly level: Level,
    private readonly within: readonly Container[],
  ) {}

  /** The beginning of an element. */
  static in(root: Element): Place {
    return new Place([], { parent: root, last: null, group: null }, []);
  }

  /** The last node that was put here, or joined what was. */
  get newest(): ChildNode | null {
    return this.level.group?.last ?? this.level.last;
  }

  /** The element is a list item with nothing in it but its box. */
  get isFirstOfItem(): boolean {
    const { last } = this.level;
    return this.within.at(-1)?.kind === "item" && (last === null || isBox(last));
  }

  /** The place within these containers. */
  enter(within: readonly Container[]): Place {
    let depth = 0;
    while (depth < within.length && within[depth]?.id === this.within[depth]?.id) depth += 1;
    let place = this.leave(depth);
    for (const container of within.slice(depth)) place = place.open(container);
    return place;
  }

  /** Put nodes here. */
  put(nodes: readonly ChildNode[]): Place {
    const { parent, last } = this.level;
    if (nodes.length === 0) return this;
    for (const node of nodes) if (this.isTop && node instanceof Element) node.setAttribute("dir", "auto");
    return this.at({ ...ended(this.level), last: morphAfter(parent, last, nodes) });
  }

  /** Put an element here that is not compared with what is there. */
  insert(element: Element): Place {
    const { parent, last } = this.level;
    const next = last === null ? parent.firstChild : last.nextSibling;
    if (next !== element) parent.insertBefore(element, next);
    return this.at({ ...ended(this.level), last: element });
  }

  /** What is put here next may join this element, which was put here last or is in it. */
  growing(id: "rows" | "parts", element: Element): Place {
    return this.at({ ...this.level, group: { id, element, last: element.lastChild } });
  }

  /** Put nodes into the element that grows. */
  join(id: "rows" | "parts", nodes: readonly ChildNode[]): Place {
    const { group } = this.level;
    if (group?.id !== id) return this.put(nodes);
    return this.at({ ...this.level, group: { ...group, last: morphAfter(group.element, group.last, nodes) } });
  }

  /** Remove everything behind this place. */
  trim(): void {
    trim(this.level);
    for (const level of this.outer.toReversed()) trim(level);
  }

  private get isTop(): boolean {
    return this.outer.length === 0;
  }

  private at(level: Level): Place {
    return new Place(this.outer, level, this.within);
  }

  private leave(depth: number): Place {
    const around = this.outer.at(-1);
    if (around === undefined || this.within.length <= depth) return this;
    trim(this.level);
    return new Place(this.outer.slice(0, -1), around, this.within.slice(0, -1)).leave(depth);
  }

  private open(container: Container): Place {
    return container.kind === "quote" ? this.openQuote(container) : this.openItem(container);
  }

  private openQuote(quote: Container): Place {
    const { parent, last } = ended(this.level);
    const element = elementAfter(parent, last, made("blockquote", { dir: this.isTop ? "auto" : "" }));
    return this.inside(quote, { parent, last: element, group: null }, { parent: element, last: null, group: null });
  }

  private openItem(item: Item): Place {
    const { level, group } = this.list(item);
    const element = elementAfter(group.element, group.last, made("li", { class: item.task === undefined ? "" : "hub-task" }));
    const around = { ...level, group: { ...group, last: element } };
    return this.inside(item, around, { parent: element, last: box(element, item), group: null });
  }

  /** The list of an item: that of the item before, or a new one. */
  private list({ list, isOrdered, start }: Item): { level: Level; group: Group } {
    const id = `list ${list}`;
    const { group } = this.level;
    if (group?.id === id) return { level: this.level, group };
    const { parent, last } = ended(this.level);
    const number = isOrdered && start !== 1 ? String(start) : "";
    const wanted = made(isOrdered ? "ol" : "ul", { dir: this.isTop ? "auto" : "", start: number });
    const element = elementAfter(parent, last, wanted);
    return { level: { parent, last: element, group: null }, group: { id, element, last: null } };
  }

  private inside(container: Container, around: Level, level: Level): Place {
    return new Place([...this.outer, around], level, [...this.within, container]);
  }
}

function isBox(node: ChildNode): boolean {
  return node instanceof Element && node.className === "hub-check";
}

function trim(level: Level): void {
  trimAfter(level.parent, ended(level).last);
}

/** The level without its group, which nothing joins any more. */
function ended(level: Level): Level {
  const { group } = level;
  if (group !== null) trimAfter(group.element, group.last);
  return { ...level, group: null };
}

/** The box in front of a task. */
function box(item: Element, { task }: Item): ChildNode | null {
  if (task === undefined) return null;
  const element = made("span", { class: "hub-check" });
  element.textContent = task === "done" ? "☑ " : "☐ ";
  return morphAfter(item, null, [element]);
}

/** A new element with those attributes that are not empty. */
function made(tag: string, attributes: Readonly<Record<string, string>>): Element {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== "") element.setAttribute(name, value);
  return element;
}
