import { type Entry, type Index, type Term } from "../../node/raft/types.ts";
import { type LogGroup, type LogStore, type RecoveredLog } from "../../node/storage/log-store.ts";

/**
 * What one log has vouched for: the terms of the entries that it reported durable. Kept outside of the member, across its
 * processes, so that a claim can be held against it later.
 */
export class LogWitness {
  #base: Index = 0;
  #terms: Term[] = [];

  /** Whether the log holds the entry, or has a checkpoint behind it. */
  holds(index: Index, term: Term): boolean {
    return index <= this.#base || this.#terms[index] === term;
  }

  /** Nothing that was said before counts: the disk is another one, or damaged. */
  forget(): void {
    this.#base = 0;
    this.#terms = [];
  }

  recovered({ checkpoint, entries }: RecoveredLog): void {
    this.#base = checkpoint.meta.index;
    this.#terms = [];
    this.#add(entries);
  }

  durable({ checkpoint, resetLog = false, entries = [] }: LogGroup): void {
    if (checkpoint !== undefined) this.#base = Math.max(this.#base, checkpoint.meta.index);
    if (resetLog) this.#terms = [];
    this.#add(entries);
  }

  #add(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    this.#terms.length = Math.min(this.#terms.length, first.index);
    for (const { index, term } of entries) this.#terms[index] = term;
  }
}

/** A log whose groups are witnessed: `appended` when they are given, the witness when they are reported durable. */
export function witnessed(
  store: LogStore,
  witness: LogWitness,
  appended: (entries: readonly Entry[]) => void,
): LogStore {
  return {
    append: (group, done) => {
      store.append(group, (error) => {
        if (error === undefined) witness.durable(group);
        done(error);
      });
      if (group.entries !== undefined && group.entries.length > 0) appended(group.entries);
    },
    release: (index) => store.release(index),
    stats: () => store.stats(),
    close: (done) => store.close(done),
  };
}
