import { DeadlineQueue } from "./deadline-queue.ts";

/** Slots that share a chunk: 4 KiB, which is what a change behind a freeze copies. */
const CHUNK_SHIFT = 9;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;
/** Ends of rows that have none any more may stay in the queue until there are as many of them as of others, and this. */
const QUEUE_SLACK = 64;

interface Chunk {
  /** Epoch of its last change: once it was frozen, a change makes a copy of it. */
  readonly stamp: number;
  readonly ends: Float64Array;
}

/** The ends of one moment. */
export interface FrozenEnds {
  /** Cluster time at which the row in this slot of the key table ends, ms; 0: it has no end. */
  get(slot: number): number;
}

/**
 * When rows end that have a time to live: cluster time by the slot of the key. Only the newest version of a key has an
 * end. What a writer sets is seen by others when it commits.
 */
export class RowEnds {
  #chunks: (Chunk | undefined)[] = [];
  readonly #queue = new DeadlineQueue<number>();
  readonly #staged = new Map<number, number>();
  #epoch = 1;
  #count = 0;

  /** Rows that have an end. */
  get count(): number {
    return this.#count;
  }

  /** Ends in the queue, some of rows that have none any more. */
  get queued(): number {
    return this.#queue.length;
  }

  get(slot: number): number {
    return endIn(this.#chunks, slot);
  }

  /** As the writer at work has it. */
  working(slot: number): number {
    return this.#staged.get(slot) ?? this.get(slot);
  }

  get isStaging(): boolean {
    return this.#staged.size > 0;
  }

  /** For the writer at work. 0: the row has no end. */
  stage(slot: number, endMs: number): void {
    if (this.working(slot) !== endMs) this.#staged.set(slot, endMs);
  }

  commit(): void {
    for (const [slot, endMs] of this.#staged) this.set(slot, endMs);
    this.#staged.clear();
  }

  /** Not by a writer: from a checkpoint. */
  set(slot: number, endMs: number): void {
    const known = this.get(slot);
    if (known === endMs) return;
    this.#writable(slot).ends[slot & CHUNK_MASK] = endMs;
    this.#count += Number(endMs !== 0) - Number(known !== 0);
    // A later end is found when the earlier one is looked at.
    if (endMs !== 0 && (known === 0 || endMs < known)) this.#enqueue(slot, endMs);
  }

  /** At most `count` slots whose rows have ended by `nowMs`, those first that ended first. */
  due(nowMs: number, count: number): number[] {
    return this.#queue.due(nowMs, count, (slot) => {
      const endMs = this.get(slot);
      return endMs === 0 ? undefined : endMs;
    });
  }

  /** Costs as much as there are chunks. */
  freeze(): FrozenEnds {
    const chunks = this.#chunks.slice();
    this.#epoch += 1;
    return { get: (slot) => endIn(chunks, slot) };
  }

  #writable(slot: number): Chunk {
    const index = slot >>> CHUNK_SHIFT;
    while (this.#chunks.length <= index) this.#chunks.push(undefined);
    const known = this.#chunks[index];
    if (known?.stamp === this.#epoch) return known;
    const chunk = { stamp: this.#epoch, ends: known?.ends.slice() ?? new Float64Array(CHUNK_SLOTS) };
    this.#chunks[index] = chunk;
    return chunk;
  }

  #enqueue(slot: number, endMs: number): void {
    this.#queue.add(slot, endMs);
    if (this.#queue.length > 2 * this.#count + QUEUE_SLACK) this.#queue.rebuild(this.#all());
  }

  *#all(): Generator<{ readonly id: number; readonly deadlineMs: number }> {
    for (const [index, chunk] of this.#chunks.entries())
      for (let at = 0; chunk !== undefined && at < CHUNK_SLOTS; at += 1) {
        const deadlineMs = chunk.ends[at] as number;
        if (deadlineMs !== 0) yield { id: index * CHUNK_SLOTS + at, deadlineMs };
      }
  }
}

function endIn(chunks: readonly (Chunk | undefined)[], slot: number): number {
  return chunks[slot >>> CHUNK_SHIFT]?.ends[slot & CHUNK_MASK] ?? 0;
}
