import { type Bytes } from "./commands.ts";
import { type Slab } from "./slab.ts";

/**
 * The keys that exist or have history. A key is a slot number; the tree orders slots, this table knows their bytes and
 * their newest version. Slot 0 is none.
 */
export class KeyTable {
  readonly #slab: Slab;
  readonly #chunks: KeyChunk[] = [];
  readonly #free: number[] = [];
  #next = 1;
  #count = 0;
  #bytes = 0;

  constructor(slab: Slab) {
    this.#slab = slab;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of all keys. */
  get bytes(): number {
    return this.#bytes;
  }

  add(key: Bytes): number {
    const slot = this.#free.pop() ?? this.#next++;
    const index = slot >>> CHUNK_SHIFT;
    if (index === this.#chunks.length) this.#chunks.push(newChunk());
    const chunk = this.#chunks[index] as KeyChunk;
    const at = slot & CHUNK_MASK;
    chunk.address[at] = this.#slab.store(key);
    chunk.length[at] = key.length;
    chunk.head[at] = 0;
    chunk.weight[at] = 0;
    this.#count += 1;
    this.#bytes += key.length;
    return slot;
  }

  /** Frees the bytes and the slot. The caller knows that nobody holds the slot any more. */
  free(slot: number): void {
    const chunk = this.#chunk(slot);
    const at = slot & CHUNK_MASK;
    this.#slab.free(chunk.address[at] as number, chunk.length[at] as number);
    this.#bytes -= chunk.length[at] as number;
    chunk.address[at] = 0;
    chunk.length[at] = 0;
    this.#free.push(slot);
    this.#count -= 1;
  }

  /** A copy of the key. */
  read(slot: number): Uint8Array {
    const chunk = this.#chunk(slot);
    const at = slot & CHUNK_MASK;
    return this.#slab.read(chunk.address[at] as number, chunk.length[at] as number);
  }

  length(slot: number): number {
    return this.#chunk(slot).length[slot & CHUNK_MASK] as number;
  }

  address(slot: number): number {
    return this.#chunk(slot).address[slot & CHUNK_MASK] as number;
  }

  compare(slot: number, key: Bytes): number {
    const chunk = this.#chunk(slot);
    const at = slot & CHUNK_MASK;
    return this.#slab.compare(chunk.address[at] as number, chunk.length[at] as number, key);
  }

  compareSlots(left: number, right: number): number {
    return this.#slab.compareBlocks(this.address(left), this.length(left), this.address(right), this.length(right));
  }

  /** Slot of the newest version, 0 for none. It may belong to a command that is not finished. */
  head(slot: number): number {
    return this.#chunk(slot).head[slot & CHUNK_MASK] as number;
  }

  setHead(slot: number, version: number): void {
    this.#chunk(slot).head[slot & CHUNK_MASK] = version;
  }

  /** Bytes that the key takes in a page, all its versions included. */
  weight(slot: number): number {
    return this.#chunk(slot).weight[slot & CHUNK_MASK] as number;
  }

  addWeight(slot: number, bytes: number): void {
    const { weight } = this.#chunk(slot);
    const at = slot & CHUNK_MASK;
    weight[at] = (weight[at] as number) + bytes;
  }

  #chunk(slot: number): KeyChunk {
    return this.#chunks[slot >>> CHUNK_SHIFT] as KeyChunk;
  }
}

interface KeyChunk {
  readonly address: Uint32Array;
  readonly length: Uint32Array;
  readonly head: Uint32Array;
  readonly weight: Float64Array;
}

const CHUNK_SHIFT = 14;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;

function newChunk(): KeyChunk {
  return {
    address: new Uint32Array(CHUNK_SLOTS),
    length: new Uint32Array(CHUNK_SLOTS),
    head: new Uint32Array(CHUNK_SLOTS),
    weight: new Float64Array(CHUNK_SLOTS),
  };
}
