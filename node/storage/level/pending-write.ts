import { type CheckpointMeta, type Page } from "../checkpoint-store.ts";
import { PageTable, type PageTotals } from "./page-table.ts";
import { type MetaRow, pageKey, pageValue } from "./rows.ts";
import { type ObsoleteRow, type Row } from "./scan.ts";

/**
 * One write on its way to become visible: the rows it made, and the totals that its meta row will name. They are kept up
 * to date page by page, so that a commit costs the same for one page and for a million.
 */
export class PendingWrite {
  readonly generation: number;
  readonly totals: PageTotals;
  readonly #groupId: number;
  readonly #base: PageTable;
  readonly #changed = new PageTable();
  readonly #removed = new Set<number>();

  /** @param base the visible pages of the last commit; changed only by `apply` */
  constructor(groupId: number, generation: number, base: PageTable, totals: PageTotals) {
    this.generation = generation;
    this.totals = totals.copy();
    this.#groupId = groupId;
    this.#base = base;
  }

  put({ number, bytes }: Page): Row {
    const key = pageKey(number, this.generation);
    const { value, crc } = pageValue(this.#groupId, key, bytes);
    this.#forget(number);
    const page = { number, generation: this.generation, crc, length: bytes.length };
    this.#changed.set(page);
    this.#removed.delete(number);
    this.totals.add(page);
    return [key, value];
  }

  /** The row that marks a page as gone; undefined when there is no such page. */
  remove(number: number): Row | undefined {
    if (!this.#forget(number)) return undefined;
    this.#changed.delete(number);
    this.#removed.add(number);
    const key = pageKey(number, this.generation);
    return [key, pageValue(this.#groupId, key, undefined).value];
  }

  metaRow(meta: CheckpointMeta): MetaRow {
    const { count, bytes, hash } = this.totals;
    return { generation: this.generation, pageCount: count, pageBytes: bytes, hash, meta };
  }

  /** All rows of this write: garbage, when it is given up. */
  *rows(): Generator<ObsoleteRow> {
    for (const number of this.#changed.numbers()) yield { number, generation: this.generation };
    for (const number of this.#removed) yield { number, generation: this.generation };
  }

  /**
   * After the commit: brings the base up to date, one page a step, and names the rows that do not count any more. All
   * rows of one page come in one step.
   */
  *apply(): Generator<readonly ObsoleteRow[]> {
    for (const number of this.#changed.numbers()) {
      const old = this.#base.get(number);
      const page = this.#changed.get(number);
      if (page !== undefined) this.#base.set(page);
      yield old === undefined ? [] : [{ number, generation: old.generation }];
    }
    for (const number of this.#removed) {
      const mark = { number, generation: this.generation };
      const old = this.#base.get(number);
      this.#base.delete(number);
      yield old === undefined ? [mark] : [{ number, generation: old.generation }, mark];
    }
  }

  /** Takes the page that counts so far out of the totals. */
  #forget(number: number): boolean {
    if (this.#removed.has(number)) return false;
    const page = this.#changed.get(number) ?? this.#base.get(number);
    if (page === undefined) return false;
    this.totals.subtract(page);
    return true;
  }
}
