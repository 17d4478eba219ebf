/**
 * Who still reads an older state. A pin says which roots its holder may look at (those up to its epoch) and the oldest
 * revision it may read; the sweep keeps what a pin needs.
 */
export class Pins {
  readonly #pins = new Set<Pin>();

  add(epoch: number, oldestRevision: number): Pin {
    const pin: Pin = {
      epoch,
      oldestRevision,
      release: () => {
        this.#pins.delete(pin);
      },
    };
    this.#pins.add(pin);
    return pin;
  }

  get count(): number {
    return this.#pins.size;
  }

  /** Oldest revision that somebody may read; Infinity without pins. */
  get oldestRevision(): number {
    let oldest = Infinity;
    for (const pin of this.#pins) oldest = Math.min(oldest, pin.oldestRevision);
    return oldest;
  }

  /** Oldest epoch whose root somebody holds; Infinity without pins. */
  get oldestEpoch(): number {
    let oldest = Infinity;
    for (const pin of this.#pins) oldest = Math.min(oldest, pin.epoch);
    return oldest;
  }
}

export interface Pin {
  readonly epoch: number;
  readonly oldestRevision: number;
  /** Idempotent. */
  release(): void;
}
