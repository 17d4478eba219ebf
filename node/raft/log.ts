import { invariant } from "./assert.ts";
import { type Entry, type Index, type SnapshotMeta, type Term } from "./types.ts";

/** What an entry costs besides its data, in bytes: header of the record and of the message. */
export const ENTRY_OVERHEAD_BYTES = 32;

// Slots in front of the log that compaction leaves behind before the array is rebuilt.
const GARBAGE_SLOTS_MAX = 1024;

/** Entries handed to the log store in one `ready()` and not reported durable. */
interface Group {
  readonly ready: number;
  /** Entries of this group up to here still are what the log holds. Lowered when the log is cut. */
  lastIndex: Index;
}

/** Bytes that an entry counts for in every limit of the core. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

/**
 * The log in memory: everything behind the compacted point, and how far it is durable, committed and applied.
 *
 * Invariant: base <= applied <= applying <= commit <= lastIndex, and durable <= handed <= lastIndex.
 * Entries are handed out to apply only up to min(commit, durable), and a configuration only up to the durable commit index.
 */
export class RaftLog {
  // The entry before the first. Its term is known, its data is not.
  #base: Index;
  #baseTerm: Term;
  #slots: (Entry | undefined)[];
  // Position of the first entry in #slots. Compaction moves it, so that no array is shifted.
  #head = 0;
  #lastIndex: Index;
  #lastTerm: Term;
  #commit: Index;
  // The commit index that a restart begins with, at least.
  #durableCommit: Index;
  #applying: Index;
  #applied: Index;
  #durable: Index;
  #handed: Index;
  #groups: Group[] = [];
  // Configuration entries behind the applied index, ascending. At most a few.
  #configurations: Index[] = [];

  /** `commit`: as it was recorded; what the machine has applied is committed anyway. */
  constructor(
    base: { readonly index: Index; readonly term: Term },
    entries: readonly Entry[],
    applied: Index,
    commit: Index = applied,
  ) {
    this.#base = base.index;
    this.#baseTerm = base.term;
    this.#slots = [...entries];
    this.#lastIndex = base.index + entries.length;
    this.#lastTerm = entries.at(-1)?.term ?? base.term;
    this.#commit = Math.max(applied, Math.min(commit, this.#lastIndex));
    this.#durableCommit = this.#commit;
    this.#applying = applied;
    this.#applied = applied;
    this.#durable = this.#lastIndex;
    this.#handed = this.#lastIndex;
    invariant(applied >= base.index && applied <= this.#lastIndex, "Recovered applied index lies outside the log");
    for (const [i, entry] of entries.entries()) {
      invariant(entry.index === base.index + 1 + i, "Recovered entries have a gap");
    }
    this.#findConfigurations();
  }

  get firstIndex(): Index {
    return this.#base + 1;
  }
  get lastIndex(): Index {
    return this.#lastIndex;
  }
  get lastTerm(): Term {
    return this.#lastTerm;
  }
  get commit(): Index {
    return this.#commit;
  }
  get applied(): Index {
    return this.#applied;
  }
  /** Entries up to here were handed out to be applied. */
  get applying(): Index {
    return this.#applying;
  }
  /** Entries up to here survive a crash of this member. */
  get durable(): Index {
    return this.#durable;
  }

  termAt(index: Index): Term | undefined {
    if (index === this.#lastIndex) return this.#lastTerm;
    if (index === this.#base) return this.#baseTerm;
    return this.entryAt(index)?.term;
  }

  entryAt(index: Index): Entry | undefined {
    return index > this.#base ? this.#slots[this.#head + index - this.#base - 1] : undefined;
  }

  /** True when a log that ends with (`lastTerm`, `lastIndex`) holds at least what this one does (paper, 5.4.1). */
  isUpToDate(lastIndex: Index, lastTerm: Term): boolean {
    return lastTerm > this.#lastTerm || (lastTerm === this.#lastTerm && lastIndex >= this.#lastIndex);
  }

  /** Entries from `from`, at most `bytesMax` but at least one. `from` must be in the log. */
  slice(from: Index, bytesMax: number, countMax = Infinity, to: Index = this.#lastIndex): Entry[] {
    const start = this.#head + from - this.#base - 1;
    const stop = this.#head + to - this.#base;
    let end = start;
    let bytes = 0;
    while (end < stop && end - start < countMax) {
      const entry = this.#slots[end];
      invariant(entry !== undefined, "Log has a hole");
      bytes += entryBytes(entry);
      if (bytes > bytesMax && end > start) break;
      end += 1;
    }
    // The range was checked entry by entry just now.
    return this.#slots.slice(start, end) as Entry[];
  }

  /** Sum of `entryBytes` over the entries from `from` to `to`. */
  bytesBetween(from: Index, to: Index): number {
    let bytes = 0;
    for (let index = from; index <= to; index += 1) {
      const entry = this.entryAt(index);
      if (entry !== undefined) bytes += entryBytes(entry);
    }
    return bytes;
  }

  /** Appends at the end. The entry's index must be the next one. */
  push(entry: Entry): void {
    invariant(entry.index === this.#lastIndex + 1, "Appended entry is not the next one");
    invariant(entry.term >= this.#lastTerm, "Appended entry has a lower term than the log's end");
    this.#slots.push(entry);
    this.#lastIndex = entry.index;
    this.#lastTerm = entry.term;
    if (entry.type === "configuration") this.#addConfiguration(entry.index);
  }

  /**
   * The follower's side of AppendEntries (paper, 5.3). Entries that are there already stay; the log is cut only at a
   * real conflict, so that a late or repeated request removes nothing.
   * @returns the last index known to match the leader's log, or undefined when (`previousIndex`, `previousTerm`) is not in the log
   */
  maybeAppend(previousIndex: Index, previousTerm: Term, entries: readonly Entry[]): Index | undefined {
    if (this.termAt(previousIndex) !== previousTerm) return undefined;
    for (const entry of entries) {
      if (entry.index <= this.#lastIndex) {
        if (this.termAt(entry.index) === entry.term) continue;
        this.#cutFrom(entry.index);
      }
      this.push(entry);
    }
    return previousIndex + entries.length;
  }

  /**
   * Where a log that has `term` at `index` may agree with this one at best: the largest index up to `index` whose term
   * is not above `term`. Terms ascend along the log, so it is found by bisection.
   */
  lastIndexNotAbove(index: Index, term: Term): Index {
    let high = Math.min(index, this.#lastIndex);
    let low = this.#base;
    if (high <= low) return high;
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      if ((this.termAt(middle) ?? 0) <= term) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** @returns whether the commit index moved */
  commitTo(index: Index): boolean {
    if (index <= this.#commit) return false;
    invariant(index <= this.#lastIndex, "Commit index lies behind the log's end");
    this.#commit = index;
    return true;
  }

  hasUnhanded(): boolean {
    return this.#handed < this.#lastIndex;
  }

  /** Entries that the log store has not seen, as part of the group of `ready`. */
  takeUnhanded(ready: number): readonly Entry[] {
    if (!this.hasUnhanded()) return [];
    const entries = this.slice(this.#handed + 1, Infinity);
    this.#handed = this.#lastIndex;
    this.#groups.push({ ready, lastIndex: this.#lastIndex });
    return entries;
  }

  /**
   * The groups up to `ready` are durable.
   *
   * The race this guards against: (1) entry 12 of term 1 is handed out, (2) a new leader overwrites it with term 2,
   * (3) the next one puts the same entry 12 of term 1 back, (4) the report for (1) arrives. The report is about bytes
   * that (2) is about to overwrite on disk, so (3) is not durable yet although index and term agree. A cut therefore
   * lowers what every group in flight can vouch for.
   */
  persisted(ready: number): void {
    let done = 0;
    for (const group of this.#groups) {
      if (group.ready > ready) break;
      this.#durable = Math.max(this.#durable, group.lastIndex);
      done += 1;
    }
    if (done > 0) this.#groups.splice(0, done);
  }

  /** The commit index as far as the log store can vouch for it: it has been given the entries. */
  get recordableCommit(): Index {
    return Math.min(this.#commit, this.#handed);
  }

  /** True when a configuration waits for its commit to be recorded. `recorded`: what was given to the log store so far. */
  awaitsRecord(recorded: Index): boolean {
    const commit = this.recordableCommit;
    return commit > recorded && this.#configurations.some((index) => index > recorded && index <= commit);
  }

  /** A restart will begin with this commit index. */
  commitPersisted(index: Index): void {
    this.#durableCommit = Math.max(this.#durableCommit, index);
  }

  hasCommitted(): boolean {
    return this.#applying < this.#applicable();
  }

  /** The next entries to apply, each handed out once. */
  takeCommitted(countMax: number, bytesMax: number): readonly Entry[] {
    if (!this.hasCommitted()) return [];
    const entries = this.slice(this.#applying + 1, bytesMax, countMax, this.#applicable());
    this.#applying += entries.length;
    return entries;
  }

  /** Moves the applied index. `onConfiguration` sees the configuration entries passed on the way, in order. */
  appliedTo(index: Index, onConfiguration: (entry: Entry) => void): void {
    if (index <= this.#applied) return;
    invariant(index <= this.#applying, "Applied index lies behind what was handed out");
    this.#applied = index;
    while ((this.#configurations[0] ?? Infinity) <= index) {
      const entry = this.entryAt(this.#configurations.shift() ?? 0);
      invariant(entry?.type === "configuration", "Configuration entry is not in the log");
      onConfiguration(entry);
    }
  }

  /** The first configuration entry that is not applied, or undefined. */
  get unappliedConfiguration(): Index | undefined {
    return this.#configurations[0];
  }

  /** Drops entries up to `index`. Never more than what is applied and durable. */
  compact(index: Index): void {
    const to = Math.min(index, this.#applied, this.#durable);
    if (to <= this.#base) return;
    const term = this.termAt(to);
    invariant(term !== undefined, "Compacted entry is not in the log");
    const head = this.#head + to - this.#base;
    this.#slots.fill(undefined, this.#head, head);
    this.#head = head;
    this.#base = to;
    this.#baseTerm = term;
    if (this.#head > GARBAGE_SLOTS_MAX && this.#head * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
  }

  /** True when the log already holds the entry that `meta` ends with: then the log goes on behind the snapshot. */
  holds(meta: SnapshotMeta): boolean {
    return this.termAt(meta.index) === meta.term;
  }

  /** The machine's state is that of `meta` now (paper, section 7): the log is kept where it agrees, else it starts anew. */
  install(meta: SnapshotMeta): void {
    if (!this.holds(meta)) {
      this.#base = meta.index;
      this.#baseTerm = meta.term;
      this.#slots = [];
      this.#head = 0;
      this.#lastIndex = meta.index;
      this.#lastTerm = meta.term;
      this.#durable = meta.index;
      this.#handed = meta.index;
      this.#groups = [];
      this.#commit = meta.index;
    }
    this.#commit = Math.max(this.#commit, meta.index);
    this.#durableCommit = Math.max(this.#durableCommit, meta.index);
    this.#applying = meta.index;
    this.#applied = meta.index;
    this.#findConfigurations();
  }

  checkInvariants(): void {
    invariant(this.#slots.length - this.#head === this.#lastIndex - this.#base, "Log length and indexes disagree");
    invariant(this.#base <= this.#applied, "Log is compacted behind the applied index");
    invariant(this.#applied <= this.#applying, "Applied index is above what was handed out");
    invariant(this.#applying <= this.#commit, "Uncommitted entries were handed out");
    invariant(this.#commit <= this.#lastIndex, "Commit index lies behind the log's end");
    invariant(this.#durableCommit <= this.#commit, "Durable commit index is ahead of the commit index");
    invariant(
      this.#configurations.every((index) => index > this.#applying || index <= this.#durableCommit),
      "A configuration was handed out before its commit was durable",
    );
    invariant(this.#durable <= this.#handed && this.#handed <= this.#lastIndex, "Durable, handed, last out of order");
    let term = this.#baseTerm;
    let configurations = 0;
    for (let index = this.#base + 1; index <= this.#lastIndex; index += 1) {
      const entry = this.entryAt(index);
      invariant(entry?.index === index, "Log entry has the wrong index");
      invariant(entry.term >= term, "Terms descend along the log");
      term = entry.term;
      if (entry.type === "configuration" && index > this.#applied) configurations += 1;
    }
    invariant(term === this.#lastTerm, "Last term is wrong");
    invariant(configurations === this.#configurations.length, "Configuration entries are miscounted");
  }

  // A member that applied a configuration counts majorities by it. If it could forget in a crash that it is committed, it
  // would go back to the one before, whose members may be gone.
  #applicable(): Index {
    const end = Math.min(this.#commit, this.#durable);
    for (const index of this.#configurations) if (index > this.#durableCommit) return Math.min(end, index - 1);
    return end;
  }

  #cutFrom(index: Index): void {
    invariant(index > this.#commit, "A committed entry would be cut");
    const term = this.termAt(index - 1);
    invariant(term !== undefined, "The log is cut before its beginning");
    this.#slots.length = this.#head + index - this.#base - 1;
    this.#lastIndex = index - 1;
    this.#lastTerm = term;
    this.#durable = Math.min(this.#durable, index - 1);
    this.#handed = Math.min(this.#handed, index - 1);
    for (const group of this.#groups) group.lastIndex = Math.min(group.lastIndex, index - 1);
    while ((this.#configurations.at(-1) ?? 0) >= index) this.#configurations.pop();
  }

  #findConfigurations(): void {
    this.#configurations = [];
    for (let index = this.#applied + 1; index <= this.#lastIndex; index += 1) {
      if (this.entryAt(index)?.type === "configuration") this.#addConfiguration(index);
    }
  }

  // A leader appends a configuration entry only when it has applied the one before. So whoever holds two knows that the
  // first is committed. That matters after a restart, whose commit index may be older than both: a member that took the
  // first for undecided would campaign in a configuration two steps old, whose majorities need not meet those of the newest.
  #addConfiguration(index: Index): void {
    const previous = this.#configurations.at(-1);
    this.#configurations.push(index);
    if (previous !== undefined) this.commitTo(previous);
  }
}
