import { invariant } from "./assert.ts";
import { type VersionTable } from "./versions.ts";

/**
 * Every change in the order it happened, as slots of the version table. Positions count from 0 for ever; the log holds
 * [start, end). As in etcd, the changes of the compacted revision itself can still be read: what lies before `live` is
 * older and waits for the sweep, which gives it back.
 *
 * Invariant: start <= live <= compacted <= end and start <= swept <= compacted.
 */
export class ChangeLog {
  readonly #versions: VersionTable;
  #chunks: Uint32Array[] = [];
  /** Position of the first element of the first chunk; a multiple of the chunk size. */
  #base = 0;
  #start = 0;
  #live = 0;
  #compacted = 0;
  #swept = 0;
  #end = 0;

  constructor(versions: VersionTable) {
    this.#versions = versions;
  }

  /** Position of the first change at or after the compacted revision. */
  get live(): number {
    return this.#live;
  }

  /** Position of the next change that the sweep has to look at. */
  get swept(): number {
    return this.#swept;
  }

  /** Position of the first change after the compacted revision: the sweep ends here. */
  get compacted(): number {
    return this.#compacted;
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

  /** Changes before `revision` are gone from now on, and the sweep begins anew: those of the last one go with them. */
  compact(revision: number): void {
    this.#live = this.firstAt(revision);
    this.#compacted = this.firstAt(revision + 1);
    this.#swept = this.#start;
  }

  /** Takes the sweep one change further. @returns whether the change left the log. */
  sweep(): boolean {
    invariant(this.#swept < this.#compacted, "Only compacted changes are swept");
    const leaves = this.#swept < this.#live;
    this.#swept += 1;
    if (!leaves) return false;
    this.#start += 1;
    if (this.#start - this.#base === CHUNK_SLOTS) {
      this.#chunks.shift();
      this.#base += CHUNK_SLOTS;
    }
    return true;
  }
}

const CHUNK_SHIFT = 12;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;
