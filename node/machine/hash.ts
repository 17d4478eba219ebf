import { invariant } from "./assert.ts";
import { Budget, type Sliced } from "./budget.ts";
import { type HashTask } from "./machine-types.ts";
import { type Pin } from "./pins.ts";
import { reachableVersions } from "./reachable.ts";
import { offsetOf } from "./slab.ts";
import { type Store } from "./store.ts";
import { LeafCursor } from "./tree-node.ts";

type StoreHash = { readonly revision: number; readonly compactRevision: number; readonly hash: string };

/**
 * Hash of all rows that can be reached at one moment. The hashes of the rows are added up, so order, pages and how far
 * the sweep has come make no difference: members at the same revision and compact revision have the same hash, or one of
 * them is wrong. Two lanes of 32 bits; it finds faults, not forgeries.
 */
export class SlicedHash implements HashTask {
  readonly #pin: Pin;
  readonly #budget = new Budget();
  #work: Sliced<StoreHash> | undefined;

  /** @param revision - from the compacted to the store's current one */
  constructor(store: Store, revision: number) {
    const bounds = { revision, compactRevision: store.compactRevision };
    const cursor = new LeafCursor(store.committed.root, store.keys);
    this.#pin = store.pinHistory();
    this.#work = hashLeaves(store, cursor, bounds, this.#budget);
  }

  advance(units: number): StoreHash | undefined {
    invariant(this.#work !== undefined, "Hash was closed");
    this.#budget.fill(units);
    const step = this.#work.next();
    if (step.done !== true) return undefined;
    this.close();
    return step.value;
  }

  close(): void {
    this.#work = undefined;
    this.#pin.release();
  }
}

function* hashLeaves(
  store: Store,
  cursor: LeafCursor,
  bounds: { readonly revision: number; readonly compactRevision: number },
  budget: Budget,
): Sliced<StoreHash> {
  const row = new RowHash();
  let low = 0;
  let high = 0;
  for (let { leaf } = cursor; leaf !== undefined; leaf = cursor.leaf) {
    for (const slot of leaf.keys)
      for (const version of reachableVersions(store, slot, bounds)) {
        row.hash(store, slot, version);
        low = (low + row.low) >>> 0;
        high = (high + row.high) >>> 0;
        if (budget.spendBytes(store.versions.valueLength(version))) yield;
      }
    cursor.advance();
  }
  return { ...bounds, hash: hex(high) + hex(low) };
}

/** The two lanes over everything that a row says. */
class RowHash {
  low = 0;
  high = 0;

  hash({ keys, versions, slab }: Store, slot: number, version: number): void {
    this.low = SEED_LOW;
    this.high = SEED_HIGH;
    const keyAddress = keys.address(slot);
    this.#bytes(slab.bytesAt(keyAddress), offsetOf(keyAddress), keys.length(slot));
    this.#number(versions.modRevision(version));
    this.#number(versions.createRevision(version));
    this.#number(versions.version(version));
    this.#word(versions.sub(version));
    this.#word(versions.isTombstone(version) ? 1 : 0);
    const lease = versions.lease(version);
    if (lease !== 0n) {
      this.#word(Number(BigInt.asUintN(32, lease)));
      this.#word(Number(BigInt.asUintN(32, lease >> 32n)));
    }
    const address = versions.valueAddress(version);
    this.#bytes(slab.bytesAt(address), offsetOf(address), versions.valueLength(version));
    if (versions.typeLength(version) > 0) {
      const type = versions.contentType(version);
      this.#bytes(type, 0, type.length);
    }
    this.low = finalMix(this.low);
    this.high = finalMix(this.high ^ this.low);
  }

  #bytes(bytes: Uint8Array, offset: number, length: number): void {
    this.#word(length);
    // The lanes in locals: this loop is where the time goes.
    let { low, high } = this;
    let at = offset;
    for (const end = offset + (length & ~3); at < end; at += 4) {
      const word =
        (bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24);
      low = Math.imul(low ^ word, MULTIPLY_LOW);
      low = (low << 13) | (low >>> 19);
      high = Math.imul(high ^ word, MULTIPLY_HIGH);
      high = (high << 17) | (high >>> 15);
    }
    this.low = low;
    this.high = high;
    let rest = 0;
    for (const end = offset + length; at < end; at += 1) rest = (rest << 8) | (bytes[at] as number);
    this.#word(rest);
  }

  #number(value: number): void {
    this.#word(value % 0x1_0000_0000);
    this.#word(Math.floor(value / 0x1_0000_0000));
  }

  #word(word: number): void {
    const low = Math.imul(this.low ^ word, MULTIPLY_LOW);
    this.low = (low << 13) | (low >>> 19);
    const high = Math.imul(this.high ^ word, MULTIPLY_HIGH);
    this.high = (high << 17) | (high >>> 15);
  }
}

// Odd multipliers with well spread bits; the ones of SplitMix and of Knuth's multiplicative hashing.
const MULTIPLY_LOW = 0x9e3779b1;
const MULTIPLY_HIGH = 0x7feb352d;
const SEED_LOW = 0x243f6a88;
const SEED_HIGH = 0x85a308d3;

/** Lets every bit of the input reach every bit of the output. */
function finalMix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x7feb352d);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0x846ca68b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, "0");
}
