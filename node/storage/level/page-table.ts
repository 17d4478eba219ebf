import { type PageFingerprint, PageSum } from "../../codec/page-hash.ts";

const CAPACITY_MIN = 64;

/**
 * The visible pages of a checkpoint and their sums, without an object per page: a store of 8 GiB has half a million
 * pages, and the garbage collector would visit every one of them.
 */
export class PageTable {
  readonly #slots = new Map<number, number>();
  readonly #free: number[] = [];
  #used = 0;
  #generations = new Float64Array(CAPACITY_MIN);
  #crcs = new Uint32Array(CAPACITY_MIN);
  #lengths = new Uint32Array(CAPACITY_MIN);

  get size(): number {
    return this.#slots.size;
  }

  numbers(): IterableIterator<number> {
    return this.#slots.keys();
  }

  get(number: number): PageFingerprint | undefined {
    const slot = this.#slots.get(number);
    if (slot === undefined) return undefined;
    return {
      number,
      generation: this.#generations[slot] ?? 0,
      crc: this.#crcs[slot] ?? 0,
      length: this.#lengths[slot] ?? 0,
    };
  }

  set(page: PageFingerprint): void {
    let slot = this.#slots.get(page.number);
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#used++;
      this.#slots.set(page.number, slot);
      if (slot >= this.#crcs.length) this.#grow();
    }
    this.#generations[slot] = page.generation;
    this.#crcs[slot] = page.crc;
    this.#lengths[slot] = page.length;
  }

  delete(number: number): void {
    const slot = this.#slots.get(number);
    if (slot === undefined) return;
    this.#slots.delete(number);
    this.#free.push(slot);
  }

  #grow(): void {
    const capacity = 2 * this.#crcs.length;
    const [generations, crcs, lengths] = [this.#generations, this.#crcs, this.#lengths];
    this.#generations = new Float64Array(capacity);
    this.#crcs = new Uint32Array(capacity);
    this.#lengths = new Uint32Array(capacity);
    this.#generations.set(generations);
    this.#crcs.set(crcs);
    this.#lengths.set(lengths);
  }
}

/** Number, bytes and hash of a set of pages, kept up to date page by page. */
export class PageTotals {
  count = 0;
  bytes = 0;
  #sum = new PageSum();

  get hash(): bigint {
    return this.#sum.value;
  }

  copy(): PageTotals {
    const copy = new PageTotals();
    copy.count = this.count;
    copy.bytes = this.bytes;
    copy.#sum = this.#sum.copy();
    return copy;
  }

  add(page: PageFingerprint): void {
    this.count += 1;
    this.bytes += page.length;
    this.#sum.add(page);
  }

  subtract(page: PageFingerprint): void {
    this.count -= 1;
    this.bytes -= page.length;
    this.#sum.subtract(page);
  }
}
