/**
 * How much work is left in the current slice. Work whose size the caller decides is a generator that yields when the
 * budget is spent; whoever drives it fills the budget and resumes.
 */
export class Budget {
  #left = 0;

  fill(units: number): void {
    this.#left = units;
  }

  /** @returns whether the slice is over. */
  spend(units = 1): boolean {
    this.#left -= units;
    return this.#left <= 0;
  }

  /** For a key with its value: big values take longer. */
  spendBytes(bytes: number): boolean {
    return this.spend(1 + (bytes >>> BYTES_SHIFT));
  }
}

/** Work that yields where a slice may end. */
export type Sliced<T> = Generator<undefined, T, undefined>;

/** 4 KiB count as one more key. */
const BYTES_SHIFT = 12;
