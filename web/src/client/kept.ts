/**
 * The newest items of a stream that is followed, within bounds, and the places between them.
 *
 * A place is known by the position before or after an item, and the first also by the words that
 * were asked for. Positions are compared whole: one offset in two epochs may be two texts.
 */

import type { From, Item, Position } from "./events.js";
import { offsetOf } from "./position.js";

const ITEMS = 4096;
const SIZE = 1_000_000;

export class Kept {
  /** The next to be added comes after it; `undefined` before `begin`. */
  end: Position | undefined;
  #items: Item[] = [];
  #heads: From[] = [];
  #size = 0;

  /** Keep what comes from `position` on, which was asked for in these words too. */
  begin(position: Position, ...asked: From[]): void {
    this.end = position;
    this.#heads = [position, ...asked];
    this.#items = [];
    this.#size = 0;
  }

  /** Where it begins; "" if that is not known. */
  get start(): Position {
    return this.#heads[0] ?? "";
  }

  /** Add items; gives those of them that are new. `size` is that of their JSON, about. */
  add(items: readonly Item[], size: number): readonly Item[] {
    const { end = "" } = this;
    const news = items[0] && items[0].position > end ? items : items.filter(({ position }) => position > end);
    for (const item of news) this.#items.push(item);
    this.end = news.at(-1)?.position ?? end;
    this.#size += size;
    if (this.#items.length > ITEMS || this.#size > SIZE) this.#forget();
    return news;
  }

  /** What was added from `position` on is void, or what lies before it is lost. */
  reset(position: Position, reason: string): void {
    const offset = offsetOf(position);
    const valid = this.#items.filter((item) => offsetOf(item.position) <= offset);
    const heads = this.#heads.filter((head) => offsetOf(head) <= offset);
    const ends = valid.at(-1)?.position ?? heads[0];
    if (ends !== undefined && offsetOf(ends) === offset) {
      this.#items = valid;
      this.#heads = heads;
      this.end = position;
    } else this.begin(position, ...(reason === "trimmed" ? ["start"] : []));
  }

  /** What is kept from a place on; `undefined` if it is none of those between the items. */
  after(place: From): readonly Item[] | undefined {
    if (place === this.end) return [];
    if (this.#heads.includes(place)) return this.#items;
    const index = this.#items.findLastIndex(({ position }) => position === place);
    return index < 0 ? undefined : this.#items.slice(index + 1);
  }

  #forget(): void {
    const gone = this.#items.splice(0, Math.ceil(this.#items.length / 2));
    this.#heads = gone.slice(-1).map(({ position }) => position);
    this.#size /= 2;
  }
}
