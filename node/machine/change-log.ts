import { invariant } from "./assert.ts";
import { type VersionTable } from "./versions.ts";

/**
 * Every change in the order it happened, as slots of the version table. Positions count from 0 for ever; the log holds
 * [start, end). What lies before `live` is compacted and waits for the sweep, which gives it back.
 */
export class ChangeLog {
  readonly #versions: VersionTable;
  #chunks: Uint32Array[] = [];
  /** Position of the first element of the first chunk; a multiple of the chunk size. */
  #base = 0;
  #start = 0;
  #live = 0;
  #end = 0;

  constructor(versions: VersionTable) {
    this.#versions = versions;
  }

  get start(): number {
    return this.#start;
  }

  /** Position of the first change that is not compacted. */
  get live(): number {
    return this.#live;
  }

  get end(): number {
    return this.#end;
  }

  append(version: number): void {
    const offset = this.#end - this.#base;
    if (offset >>> CHUNK_SHIFT === this.#chunks.length) this.#chunks.push(new Uint32Array(CHUNK_SLOTS));
    (this.#chunks[offset >>> CHUNK_SHIFT] as Uint32Array)[offset & CHUNK_MASK] = version;
    this.#end += 1;
  }

  at(position: number): number {
    const offset = position - this.#base;
    return (this.#chunks[offset >>> CHUNK_SHIFT] as Uint32Array)[offset & CHUNK_MASK] as number;
  }

  /** Position of the first live change at or after `revision`; `end` when there is none. */
  firstAt(revision: number): number {
    let low = this.#live;
    let high = this.#end;
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      if (this.#versions.modRevision(this.at(middle)) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Changes at or before `revision` are compacted from now on. */
  compact(revision: number): void {
    this.#live = this.firstAt(revision + 1);
  }

  /** Takes the oldest compacted change out. */
  shift(): void {
    invariant(this.#start < this.#live, "Only compacted changes leave the change log");
    this.#start += 1;
    if (this.#start - this.#base === CHUNK_SLOTS) {
      this.#chunks.shift();
      this.#base += CHUNK_SLOTS;
    }
  }
}

const CHUNK_SHIFT = 12;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;
