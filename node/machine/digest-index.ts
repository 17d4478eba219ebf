import { invariant } from "./assert.ts";

/**
 * Finds records by digest: open addressing over positions, in parts that grow on their own, so that no growth takes
 * long. Digests are cryptographic, so their bytes are the hash. What a position's digest is, the caller knows.
 */
export class DigestIndex {
  /** Made when they are needed. */
  readonly #parts: (Part | undefined)[] = new Array<undefined>(PARTS).fill(undefined);
  readonly #store: DigestStore;

  constructor(store: DigestStore) {
    this.#store = store;
  }

  /** Position of the record with this digest, or −1. */
  find(digest: Uint8Array): number {
    const { slots } = this.#partOf(digest);
    const mask = slots.length - 1;
    for (let at = hashOf(digest, 0) & mask; ; at = (at + 1) & mask) {
      const entry = slots[at] as number;
      if (entry === 0) return -1;
      if (this.#store.hasDigest(entry - 1, digest)) return entry - 1;
    }
  }

  /** The digest is not in the index. */
  add(digest: Uint8Array, position: number): void {
    invariant(position >= 0 && position < POSITIONS_MAX, "Position of a record is out of range");
    const part = this.#partOf(digest);
    if ((part.used + 1) * 4 > part.slots.length * 3) this.#grow(part);
    insert(part.slots, hashOf(digest, 0), position + 1);
    part.used += 1;
  }

  /** Does nothing when another record has taken its place. */
  remove(digest: Uint8Array, position: number): void {
    const part = this.#partOf(digest);
    const { slots } = part;
    const mask = slots.length - 1;
    let hole = hashOf(digest, 0) & mask;
    while (slots[hole] !== position + 1) {
      if (slots[hole] === 0) return;
      hole = (hole + 1) & mask;
    }
    // What stands behind moves up, so that no search ends at the hole before it.
    for (let at = (hole + 1) & mask; slots[at] !== 0; at = (at + 1) & mask) {
      const home = this.#store.hashAt((slots[at] as number) - 1) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = slots[at] as number;
      hole = at;
    }
    slots[hole] = 0;
    part.used -= 1;
  }

  #partOf(digest: Uint8Array): Part {
    const number = (digest[4] as number) | (((digest[5] as number) & 15) << 8);
    return (this.#parts[number] ??= { slots: new Uint32Array(SLOTS_MIN), used: 0 });
  }

  #grow(part: Part): void {
    const larger = new Uint32Array(part.slots.length * 2);
    for (const entry of part.slots) if (entry !== 0) insert(larger, this.#store.hashAt(entry - 1), entry);
    part.slots = larger;
  }
}

/** Whoever keeps the digests. */
export interface DigestStore {
  hasDigest(position: number, digest: Uint8Array): boolean;
  /** `hashOf` of the digest at the position. */
  hashAt(position: number): number;
}

interface Part {
  /** Position + 1, 0 for a free slot. A power of two of them. */
  slots: Uint32Array;
  used: number;
}

/** Of 100 million records each has 24 000: growing one takes no longer than a slice of other work. */
const PARTS = 4096;
const SLOTS_MIN = 8;
const POSITIONS_MAX = 0xffff_ffff;

/** Four bytes of a digest that stands at `at`; the two behind them choose the part. */
export function hashOf(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

function insert(slots: Uint32Array, hash: number, entry: number): void {
  const mask = slots.length - 1;
  let at = hash & mask;
  while (slots[at] !== 0) at = (at + 1) & mask;
  slots[at] = entry;
}
