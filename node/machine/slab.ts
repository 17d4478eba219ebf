import { InvariantError, invariant } from "./assert.ts";
import { type Bytes } from "./commands.ts";

/**
 * Memory for keys and values. Blocks of like size share a chunk of 256 KiB, so that the garbage collector sees some
 * thousand chunks instead of millions of keys. A chunk whose blocks are all free goes back to the pool and may serve
 * another size next; a freed block is used again before a new chunk is taken. Blocks beyond 64 KiB are buffers of
 * their own.
 *
 * An address is a 32-bit number: chunk × 32 768 + offset in units of 8 bytes. 0 is no address. That reaches 32 GiB.
 */
export class Slab {
  readonly #chunks: (Chunk | undefined)[] = [undefined];
  readonly #freeChunks: number[] = [];
  readonly #classes: SizeClass[] = SIZES.map(() => ({ current: 0, partial: [] }));
  readonly #pool: Uint8Array<ArrayBuffer>[] = [];
  #reservedBytes = 0;

  /** Bytes in use by chunks, free blocks in them included. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** Copies `bytes`, and `more` behind them, into a block. Nothing takes no block and has address 0. */
  store(bytes: Bytes, more: Bytes = NOTHING): number {
    if (bytes.length + more.length === 0) return 0;
    const address = this.#allocate(bytes.length + more.length);
    const chunk = this.#chunk(address);
    chunk.bytes.set(bytes, offsetOf(address));
    if (more.length > 0) chunk.bytes.set(more, offsetOf(address) + bytes.length);
    return address;
  }

  /** Gives a block back. `length` is what it was stored with. */
  free(address: number, length: number): void {
    if (length === 0) return;
    const index = address >>> CHUNK_SHIFT;
    const chunk = this.#chunk(address);
    if (length > SHARED_BYTES_MAX) {
      this.#drop(index, chunk);
      return;
    }
    const sizeClass = this.#classes[chunk.sizeClass];
    invariant(sizeClass !== undefined && chunk.live > 0, "Block of the slab is freed twice");
    const wasFull = !hasRoom(chunk);
    const offset = offsetOf(address);
    chunk.words[offset >>> 2] = chunk.freeHead;
    chunk.freeHead = offset;
    chunk.live -= 1;
    if (chunk.live === 0 && sizeClass.current !== index) {
      if (!wasFull) sizeClass.partial.splice(sizeClass.partial.indexOf(index), 1);
      this.#drop(index, chunk);
    } else if (wasFull && sizeClass.current !== index) sizeClass.partial.push(index);
  }

  /** A copy, safe to hand out: the block may be used again later. */
  read(address: number, length: number): Uint8Array {
    if (length === 0) return new Uint8Array(0);
    const offset = offsetOf(address);
    return this.#chunk(address).bytes.slice(offset, offset + length);
  }

  copyTo(address: number, length: number, target: Uint8Array, at: number): void {
    if (length === 0) return;
    const { bytes } = this.#chunk(address);
    const offset = offsetOf(address);
    // A native call costs more than a short loop.
    if (length > COPY_LOOP_MAX) target.set(bytes.subarray(offset, offset + length), at);
    else for (let i = 0; i < length; i += 1) target[at + i] = bytes[offset + i] as number;
  }

  /** The chunk's bytes, and where the block begins in them; for loops that must not allocate. Valid until the next change. */
  bytesAt(address: number): Uint8Array {
    return address === 0 ? NOTHING : this.#chunk(address).bytes;
  }

  /** Compares a block with `other` as raw bytes. */
  compare(address: number, length: number, other: Bytes): number {
    const { bytes } = this.#chunk(address);
    const offset = offsetOf(address);
    const common = Math.min(length, other.length);
    for (let i = 0; i < common; i += 1) {
      const difference = (bytes[offset + i] as number) - (other[i] as number);
      if (difference !== 0) return difference;
    }
    return length - other.length;
  }

  /** Compares two blocks as raw bytes. */
  compareBlocks(left: number, leftLength: number, right: number, rightLength: number): number {
    const leftBytes = this.bytesAt(left);
    const rightBytes = this.bytesAt(right);
    const leftOffset = offsetOf(left);
    const rightOffset = offsetOf(right);
    const common = Math.min(leftLength, rightLength);
    for (let i = 0; i < common; i += 1) {
      const difference = (leftBytes[leftOffset + i] as number) - (rightBytes[rightOffset + i] as number);
      if (difference !== 0) return difference;
    }
    return leftLength - rightLength;
  }

  #allocate(length: number): number {
    if (length > SHARED_BYTES_MAX) return this.#reserve(new Uint8Array(length), 0) * CHUNK_UNITS;
    const classIndex = classOf(length);
    const sizeClass = this.#classes[classIndex] as SizeClass;
    const current = this.#chunks[sizeClass.current];
    const chunk = current !== undefined && hasRoom(current) ? current : this.#nextChunk(sizeClass, classIndex);
    let offset = chunk.freeHead;
    if (offset === NO_BLOCK) {
      offset = chunk.next;
      chunk.next += chunk.blockBytes;
    } else chunk.freeHead = chunk.words[offset >>> 2] as number;
    chunk.live += 1;
    return sizeClass.current * CHUNK_UNITS + (offset >>> 3);
  }

  #nextChunk(sizeClass: SizeClass, classIndex: number): Chunk {
    sizeClass.current =
      sizeClass.partial.pop() ?? this.#reserve(this.#pool.pop() ?? new Uint8Array(CHUNK_BYTES), classIndex);
    return this.#chunks[sizeClass.current] as Chunk;
  }

  #reserve(bytes: Uint8Array<ArrayBuffer>, sizeClass: number): number {
    const index = this.#freeChunks.pop() ?? this.#chunks.length;
    if (index >= CHUNKS_MAX) throw new InvariantError("Slab has reached 32 GiB, its largest size");
    this.#chunks[index] = {
      bytes,
      words: new Uint32Array(bytes.buffer, 0, bytes.length >>> 2),
      sizeClass,
      blockBytes: SIZES[sizeClass] as number,
      freeHead: NO_BLOCK,
      next: 0,
      live: 0,
    };
    this.#reservedBytes += bytes.length;
    return index;
  }

  #drop(index: number, chunk: Chunk): void {
    this.#chunks[index] = undefined;
    this.#freeChunks.push(index);
    this.#reservedBytes -= chunk.bytes.length;
    if (chunk.bytes.length === CHUNK_BYTES && this.#pool.length < POOL_CHUNKS_MAX) this.#pool.push(chunk.bytes);
  }

  #chunk(address: number): Chunk {
    const chunk = this.#chunks[address >>> CHUNK_SHIFT];
    if (chunk === undefined) throw new InvariantError("Address is not in the slab");
    return chunk;
  }
}

function hasRoom(chunk: Chunk): boolean {
  return chunk.freeHead !== NO_BLOCK || chunk.next + chunk.blockBytes <= CHUNK_BYTES;
}

/** Byte offset of a block in its chunk. */
export function offsetOf(address: number): number {
  return (address & (CHUNK_UNITS - 1)) << 3;
}

interface Chunk {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array;
  readonly sizeClass: number;
  readonly blockBytes: number;
  /** Offset of the first free block, whose first word names the next one. */
  freeHead: number;
  /** Offset of the first block never used. */
  next: number;
  live: number;
}

interface SizeClass {
  /** Chunk that blocks are taken from; 0 for none. */
  current: number;
  /** Other chunks with a free block. */
  readonly partial: number[];
}

const CHUNK_BYTES = 262_144;
const CHUNK_UNITS = CHUNK_BYTES >>> 3;
const CHUNK_SHIFT = 15;
const CHUNKS_MAX = 2 ** (32 - CHUNK_SHIFT);
const SHARED_BYTES_MAX = 65_536;
const NO_BLOCK = 0xffff_ffff;
const COPY_LOOP_MAX = 32;
/** Empty chunks kept for the next need. */
const POOL_CHUNKS_MAX = 16;
const NOTHING = new Uint8Array(0);

/** Block sizes: every 8 bytes up to 256, then four to a doubling. */
const SIZES: readonly number[] = blockSizes();
const SMALL_MAX = 256;

function blockSizes(): number[] {
  const sizes: number[] = [];
  for (let size = 8; size <= 256; size += 8) sizes.push(size);
  for (let base = 256; base < SHARED_BYTES_MAX; base *= 2)
    for (let quarter = 1; quarter <= 4; quarter += 1) sizes.push(base + (base / 4) * quarter);
  return sizes;
}

function classOf(length: number): number {
  if (length <= SMALL_MAX) return (length - 1) >>> 3;
  // 256·2^k < length ≤ 256·2^(k+1), and which quarter of that interval.
  const doubling = 23 - Math.clz32(length - 1);
  const base = SMALL_MAX << doubling;
  return 32 + doubling * 4 + Math.floor((length - base - 1) / (base >>> 2));
}
