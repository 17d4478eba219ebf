import { type Bytes } from "./commands.ts";
import { EMPTY } from "./key-range.ts";
import { type Slab } from "./slab.ts";

/** What a version says, apart from its value. A tombstone has a mod revision only. */
export interface VersionFields {
  /** Slot of the key. */
  readonly key: number;
  readonly modRevision: number;
  /** Place among the changes of its revision, from 0. */
  readonly sub: number;
  readonly createRevision: number;
  readonly version: number;
  readonly lease: bigint;
  readonly tombstone: boolean;
  /** Slot of the version before it, 0 for none. */
  readonly previous: number;
}

/**
 * All versions of all keys: one slot each in chunked typed arrays, values in the slab. The versions of a key are a list
 * from the newest to the oldest. Slot 0 is none.
 */
export class VersionTable {
  readonly #slab: Slab;
  readonly #chunks: VersionChunk[] = [];
  readonly #free: number[] = [];
  #next = 1;
  #count = 0;
  #valueBytes = 0;

  constructor(slab: Slab) {
    this.#slab = slab;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of all values and content types. */
  get valueBytes(): number {
    return this.#valueBytes;
  }

  /** `contentType`: ASCII of at most 255 characters; empty for none. */
  add(fields: VersionFields, value: Bytes, contentType: Bytes = EMPTY): number {
    const slot = this.#free.pop() ?? this.#next++;
    const index = slot >>> CHUNK_SHIFT;
    if (index === this.#chunks.length) this.#chunks.push(newChunk());
    const chunk = this.#chunks[index] as VersionChunk;
    const at = slot & CHUNK_MASK;
    chunk.modRevision[at] = fields.modRevision;
    chunk.createRevision[at] = fields.createRevision;
    chunk.version[at] = fields.version;
    chunk.lease[at] = fields.lease;
    chunk.sub[at] = fields.sub;
    chunk.key[at] = fields.key;
    chunk.previous[at] = fields.previous;
    chunk.flags[at] = fields.tombstone ? USED | TOMBSTONE : USED;
    chunk.address[at] = this.#slab.store(value, contentType);
    chunk.length[at] = value.length;
    chunk.typeLength[at] = contentType.length;
    this.#count += 1;
    this.#valueBytes += value.length + contentType.length;
    return slot;
  }

  free(slot: number): void {
    const chunk = this.#chunk(slot);
    const at = slot & CHUNK_MASK;
    const bytes = this.contentLength(slot);
    this.#slab.free(chunk.address[at] as number, bytes);
    this.#valueBytes -= bytes;
    chunk.address[at] = 0;
    chunk.length[at] = 0;
    chunk.typeLength[at] = 0;
    chunk.previous[at] = 0;
    chunk.flags[at] = 0;
    this.#free.push(slot);
    this.#count -= 1;
  }

  isUsed(slot: number): boolean {
    return slot > 0 && slot < this.#next && ((this.#chunk(slot).flags[slot & CHUNK_MASK] as number) & USED) !== 0;
  }

  modRevision(slot: number): number {
    return this.#chunk(slot).modRevision[slot & CHUNK_MASK] as number;
  }

  createRevision(slot: number): number {
    return this.#chunk(slot).createRevision[slot & CHUNK_MASK] as number;
  }

  version(slot: number): number {
    return this.#chunk(slot).version[slot & CHUNK_MASK] as number;
  }

  lease(slot: number): bigint {
    return this.#chunk(slot).lease[slot & CHUNK_MASK] as bigint;
  }

  sub(slot: number): number {
    return this.#chunk(slot).sub[slot & CHUNK_MASK] as number;
  }

  key(slot: number): number {
    return this.#chunk(slot).key[slot & CHUNK_MASK] as number;
  }

  isTombstone(slot: number): boolean {
    return ((this.#chunk(slot).flags[slot & CHUNK_MASK] as number) & TOMBSTONE) !== 0;
  }

  previous(slot: number): number {
    return this.#chunk(slot).previous[slot & CHUNK_MASK] as number;
  }

  setPrevious(slot: number, previous: number): void {
    this.#chunk(slot).previous[slot & CHUNK_MASK] = previous;
  }

  valueAddress(slot: number): number {
    return this.#chunk(slot).address[slot & CHUNK_MASK] as number;
  }

  valueLength(slot: number): number {
    return this.#chunk(slot).length[slot & CHUNK_MASK] as number;
  }

  /** Bytes of the content type, which lies behind the value; 0 for none. */
  typeLength(slot: number): number {
    return this.#chunk(slot).typeLength[slot & CHUNK_MASK] as number;
  }

  /** Bytes of the value and its content type. */
  contentLength(slot: number): number {
    const chunk = this.#chunk(slot);
    const at = slot & CHUNK_MASK;
    return (chunk.length[at] as number) + (chunk.typeLength[at] as number);
  }

  /** A copy of the content type; empty for none. */
  contentType(slot: number): Uint8Array {
    const length = this.typeLength(slot);
    if (length === 0) return EMPTY;
    const value = this.valueLength(slot);
    return this.#slab.read(this.valueAddress(slot), value + length).subarray(value);
  }

  /** A copy of the value. */
  value(slot: number): Uint8Array {
    return this.#slab.read(this.valueAddress(slot), this.valueLength(slot));
  }

  compareValue(slot: number, value: Bytes): number {
    const length = this.valueLength(slot);
    return length === 0 ? -value.length : this.#slab.compare(this.valueAddress(slot), length, value);
  }

  compareValues(left: number, right: number): number {
    return this.#slab.compareBlocks(
      this.valueAddress(left),
      this.valueLength(left),
      this.valueAddress(right),
      this.valueLength(right),
    );
  }

  /** The newest version at or before `revision` in the list that begins at `slot`; 0 for none. May be a tombstone. */
  newestAt(slot: number, revision: number): number {
    let at = slot;
    while (at !== 0 && this.modRevision(at) > revision) at = this.previous(at);
    return at;
  }

  /** `slot`, or the one before it when it is a change of `revision` and not among the first `changes`. */
  beforeChange(slot: number, revision: number, changes: number): number {
    if (slot === 0 || this.modRevision(slot) !== revision || this.sub(slot) < changes) return slot;
    return this.previous(slot);
  }

  #chunk(slot: number): VersionChunk {
    return this.#chunks[slot >>> CHUNK_SHIFT] as VersionChunk;
  }
}

interface VersionChunk {
  readonly modRevision: Float64Array;
  readonly createRevision: Float64Array;
  readonly version: Float64Array;
  readonly lease: BigInt64Array;
  readonly sub: Uint32Array;
  readonly key: Uint32Array;
  readonly previous: Uint32Array;
  readonly address: Uint32Array;
  readonly length: Uint32Array;
  readonly typeLength: Uint8Array;
  readonly flags: Uint8Array;
}

const USED = 1;
const TOMBSTONE = 2;
const CHUNK_SHIFT = 14;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;

function newChunk(): VersionChunk {
  return {
    modRevision: new Float64Array(CHUNK_SLOTS),
    createRevision: new Float64Array(CHUNK_SLOTS),
    version: new Float64Array(CHUNK_SLOTS),
    lease: new BigInt64Array(CHUNK_SLOTS),
    sub: new Uint32Array(CHUNK_SLOTS),
    key: new Uint32Array(CHUNK_SLOTS),
    previous: new Uint32Array(CHUNK_SLOTS),
    address: new Uint32Array(CHUNK_SLOTS),
    length: new Uint32Array(CHUNK_SLOTS),
    typeLength: new Uint8Array(CHUNK_SLOTS),
    flags: new Uint8Array(CHUNK_SLOTS),
  };
}
