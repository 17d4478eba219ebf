import { InvariantError, invariant } from "./assert.ts";
import { type Bytes, type KeyValue } from "./commands.ts";
import { ByteArena } from "./byte-arena.ts";
import { ChangeLog } from "./change-log.ts";
import { contentTypeText } from "./content-type.ts";
import { EMPTY } from "./key-range.ts";
import { KeyTable } from "./keys.ts";
import { Leases } from "./leases.ts";
import { type Pin, Pins } from "./pins.ts";
import { RowEnds } from "./row-ends.ts";
import { Slab } from "./slab.ts";
import { Tree } from "./tree.ts";
import { findKey, type Node } from "./tree-node.ts";
import { VersionTable } from "./versions.ts";
import { WriteRecords } from "./write-records.ts";

/** What a reader sees: the keys under a root, each as it was at a revision. */
export interface View {
  readonly root: Node;
  readonly revision: number;
  /** The live counts of the root are those of the revision. */
  readonly counted: boolean;
  /** Only so many changes of the revision are seen; `ALL_CHANGES` for a state as it was committed. */
  readonly changes: number;
  /** The writer's own: it sees what it has set of the ends of rows. */
  readonly writer: boolean;
}

export const ALL_CHANGES = Infinity;
const WHOLE = { counted: true, changes: ALL_CHANGES, writer: false } as const;

/** A stamp is the time rounded down: who was told of it may have been up to a whole millisecond later. */
export const STAMP_GRAIN_MS = 1;

/** Bytes that a version and a key take in tables and tree besides their content; for the quota. */
const VERSION_OVERHEAD_BYTES = 64;
const KEY_OVERHEAD_BYTES = 32;
const LEASE_BYTES = 200;
/** In the table and in the queue. */
const ROW_END_BYTES = 32;

/** Bytes of a version and of a key in a page, besides their content. */
export const PAGE_VERSION_BYTES = 33;
export const PAGE_KEY_BYTES = 8;

/**
 * All versions of all keys since the last compaction, its own revision included. One writer at a time: `begin`, any number of `put` and `remove`,
 * `commit`. Until the commit, `committed` gives the state before. Versions carry their revision, so a put of an existing
 * key changes no tree node: readers skip versions that are newer than what they look at.
 *
 * Invariant: a key has at most one change per revision.
 */
export class Store {
  readonly keys: KeyTable;
  readonly versions: VersionTable;
  readonly slab = new Slab();
  readonly leases = new Leases();
  readonly ends = new RowEnds();
  readonly records = new WriteRecords();
  readonly changes: ChangeLog;
  readonly tree: Tree;
  readonly pins = new Pins();
  readonly #arena = new ByteArena();
  #committed: View;
  #committedPages: number;
  #compactRevision = -1;
  #liveBytes = 0;
  #committedLiveBytes = 0;
  /** Epoch of the writer at work; 0 for none. */
  #writerEpoch = 0;
  #sub = 0;
  /** Cluster time of the newest command, the one at work included, ms. */
  nowMs = 0;
  /** Keys out of the tree whose slots older roots may still name. */
  readonly #deadKeys: { readonly slot: number; readonly epoch: number }[] = [];

  constructor() {
    this.keys = new KeyTable(this.slab);
    this.versions = new VersionTable(this.slab);
    this.changes = new ChangeLog(this.versions);
    this.tree = new Tree(this.keys, (slot) => this.isLive(slot));
    this.#committed = { root: this.tree.root, revision: 1, ...WHOLE };
    this.#committedPages = this.tree.pageCount;
  }

  get revision(): number {
    return this.#committed.revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  get committed(): View {
    return this.#committed;
  }

  /** Pages under the committed root. */
  get committedPages(): number {
    return this.#committedPages;
  }

  /** The state as the writer at work has it so far. */
  get working(): View {
    if (this.#sub === 0) return { ...this.#committed, writer: true };
    return { root: this.tree.root, revision: this.revision + 1, ...WHOLE, writer: true };
  }

  /** The state at `revision`; 0 is the writer's. The caller has checked that it exists. */
  viewAt(revision: number): View {
    return revision <= 0 ? this.working : this.committedAt(revision);
  }

  /** The state at `revision`, without the writer's changes; 0 is the current one. */
  committedAt(revision: number): View {
    if (revision <= 0 || revision === this.revision) return this.#committed;
    return { root: this.#committed.root, revision, ...WHOLE, counted: false };
  }

  get isWriting(): boolean {
    return this.#writerEpoch !== 0;
  }

  get bytes(): number {
    return (
      this.keys.bytes +
      this.versions.valueBytes +
      this.keys.count * KEY_OVERHEAD_BYTES +
      this.versions.count * VERSION_OVERHEAD_BYTES +
      this.leases.count * LEASE_BYTES +
      this.ends.count * ROW_END_BYTES +
      this.records.bytes
    );
  }

  /** Bytes of live rows alone. */
  get liveBytes(): number {
    return this.#committedLiveBytes;
  }

  /** Begins a writer. What `committed` gives stays as it is until `commit`. */
  begin(): void {
    invariant(this.#writerEpoch === 0, "Another writer is at work");
    this.#writerEpoch = this.tree.nextEpoch();
    this.#sub = 0;
  }

  /** Ends the writer: its changes are the next revision; without changes there is none. */
  commit(): void {
    invariant(this.#writerEpoch !== 0, "No writer is at work");
    if (this.#sub > 0) this.#setCommitted({ ...this.working, writer: false });
    this.ends.commit();
    this.#writerEpoch = 0;
    this.#sub = 0;
  }

  /**
   * Writes a version of `key`. The lease, unless it is 0, is there. `endMs`: cluster time at which the row ends, 0 for
   * none. @returns the live version before it, or 0.
   */
  put(key: Bytes, value: Bytes, lease: bigint, endMs = 0, contentType = EMPTY): number {
    const revision = this.#nextRevision();
    const found = this.tree.seek(key);
    const slot = found === 0 ? this.keys.add(key) : found;
    const head = this.keys.head(slot);
    const live = head !== 0 && !this.versions.isTombstone(head);
    invariant(head === 0 || this.versions.modRevision(head) < revision, "A key changes twice in one revision");
    const fields = {
      key: slot,
      modRevision: revision,
      sub: this.#sub,
      createRevision: live ? this.versions.createRevision(head) : revision,
      version: live ? this.versions.version(head) + 1 : 1,
      lease,
      tombstone: false,
      previous: head,
    };
    this.#append(slot, this.versions.add(fields, value, contentType));
    this.#hang(slot, live ? this.versions.lease(head) : 0n, lease);
    this.ends.stage(slot, endMs);
    const content = value.length + contentType.length;
    const weight = PAGE_VERSION_BYTES + content;
    this.#liveBytes += content - (live ? this.versions.contentLength(head) : -this.#liveOverhead(slot));
    if (found === 0) {
      const whole = PAGE_KEY_BYTES + key.length + weight;
      this.keys.addWeight(slot, whole);
      this.tree.insert(slot, whole);
    } else {
      this.keys.addWeight(slot, weight);
      this.tree.touch(weight, live ? 0 : 1);
    }
    return live ? head : 0;
  }

  /** Writes a tombstone for `key`. @returns the live version before it; 0 when there was none, and nothing was written. */
  remove(key: Bytes): number {
    const revision = this.#nextRevision();
    const slot = this.tree.seek(key);
    if (slot === 0 || !this.isLive(slot)) return 0;
    const head = this.keys.head(slot);
    invariant(this.versions.modRevision(head) < revision, "A key changes twice in one revision");
    const fields = {
      key: slot,
      modRevision: revision,
      sub: this.#sub,
      createRevision: 0,
      version: 0,
      lease: 0n,
      tombstone: true,
      previous: head,
    };
    this.#append(slot, this.versions.add(fields, EMPTY));
    this.#hang(slot, this.versions.lease(head), 0n);
    this.ends.stage(slot, 0);
    this.#liveBytes -= this.versions.contentLength(head) + this.#liveOverhead(slot);
    this.keys.addWeight(slot, PAGE_VERSION_BYTES);
    this.tree.touch(PAGE_VERSION_BYTES, -1);
    return head;
  }

  /** Sets when a live row ends, 0 for never: no version, no revision. @returns whether the key is live. */
  touch(key: Bytes, endMs: number): boolean {
    invariant(this.#writerEpoch !== 0, "No writer is at work");
    const slot = this.tree.seek(key);
    if (slot === 0 || !this.isLive(slot)) return false;
    this.ends.stage(slot, endMs);
    // Its page is to be written again.
    this.tree.touch(0, 0);
    return true;
  }

  /** Whether the newest version of the key, the writer's included, is no tombstone. */
  isLive(slot: number): boolean {
    const head = this.keys.head(slot);
    return head !== 0 && !this.versions.isTombstone(head);
  }

  /** Version of a key that the view shows; 0 for none. */
  versionOf(view: View, slot: number): number {
    let version = this.versions.newestAt(this.keys.head(slot), view.revision);
    if (view.changes !== ALL_CHANGES) version = this.versions.beforeChange(version, view.revision, view.changes);
    return version !== 0 && !this.versions.isTombstone(version) ? version : 0;
  }

  /** Version of `key` that the view shows; 0 for none. */
  find(view: View, key: Bytes): number {
    const slot = findKey(view.root, this.keys, key);
    return slot === 0 ? 0 : this.versionOf(view, slot);
  }

  /** A version as a row, with copies of its bytes. */
  row(version: number, keysOnly = false): KeyValue {
    const { keys, versions, slab } = this;
    const slot = versions.key(version);
    const key = this.#arena.allocate(keys.length(slot));
    slab.copyTo(keys.address(slot), key.length, key, 0);
    const value = this.#arena.allocate(keysOnly ? 0 : versions.valueLength(version));
    slab.copyTo(versions.valueAddress(version), value.length, value, 0);
    const row = {
      key,
      value,
      createRevision: versions.createRevision(version),
      modRevision: versions.modRevision(version),
      version: versions.version(version),
      lease: versions.lease(version),
    };
    if (versions.typeLength(version) === 0) return row;
    return { ...row, contentType: contentTypeText(versions.contentType(version)) };
  }

  /** A row that a reader of the view sees, with what is left of its time when it has an end. */
  rowIn(view: View, version: number, keysOnly: boolean): KeyValue {
    const row = this.row(version, keysOnly);
    const endMs = this.#endOf(view, version);
    return endMs === 0 ? row : { ...row, ttlMs: Math.max(0, endMs - STAMP_GRAIN_MS - this.nowMs) };
  }

  /** Only the newest version has an end; for all but the writer that is the newest committed one. */
  #endOf({ writer }: View, version: number): number {
    if (this.ends.count === 0 && !this.ends.isStaging) return 0;
    const slot = this.versions.key(version);
    const head = this.keys.head(slot);
    if (writer) return head === version ? this.ends.working(slot) : 0;
    const newest = this.versions.modRevision(head) > this.revision ? this.versions.previous(head) : head;
    return newest === version ? this.ends.get(slot) : 0;
  }

  /** Keeps the committed root, and all that can be read from it at `oldestRevision` or later, until released. */
  pin(oldestRevision: number): Pin {
    const epoch = this.#writerEpoch === 0 ? this.tree.epoch : this.#writerEpoch - 1;
    const pin = this.pins.add(epoch, oldestRevision);
    // While a writer is at work, its epoch already keeps it off the committed root.
    if (this.#writerEpoch === 0) this.tree.nextEpoch();
    return pin;
  }

  /** Keeps the committed root and everything that compaction has left until now, the changes at its revision too. */
  pinHistory(): Pin {
    return this.pin(this.#compactRevision - 1);
  }

  compact(revision: number): void {
    invariant(revision > this.#compactRevision && revision <= this.revision, "Revision cannot be compacted");
    this.#compactRevision = revision;
    this.changes.compact(revision);
  }

  /**
   * Frees versions that compaction made unreachable, at most `units` changes further. Every compacted change says which
   * versions died by it: the ones before it, and itself when it is a tombstone. A tombstone at the compacted revision
   * stays until the next compaction, for watches that begin there. What a pin may read stays.
   *
   * @returns whether nothing is left to do. False also while a pin is in the way.
   */
  sweep(units: number): boolean {
    if (this.#writerEpoch !== 0) return false;
    const { changes, versions } = this;
    const upTo = this.pins.oldestRevision;
    for (let left = units; left > 0 && changes.swept < changes.compacted; left -= 1) {
      const version = changes.at(changes.swept);
      if (versions.modRevision(version) > upTo) break;
      this.#sweepVersion(version, changes.sweep());
    }
    this.#setCommitted({ ...this.#committed, root: this.tree.root });
    this.#freeDeadKeys(units);
    return changes.swept === changes.compacted && this.#deadKeys.length === 0;
  }

  /** After the tables were filled from a checkpoint. */
  loaded(revision: number, compactRevision: number, liveBytes: number): void {
    this.#compactRevision = compactRevision;
    this.#liveBytes = liveBytes;
    this.#setCommitted({ root: this.tree.root, revision, ...WHOLE });
  }

  /**
   * For a store that is being loaded: frees what is compacted. `version` is the newest compacted version of the key (0
   * for none), `newer` the oldest one that is not.
   *
   * @returns whether something of the key is left; else its slot is free.
   */
  dropCompacted(slot: number, newer: number, version: number, compactRevision: number): boolean {
    if (version === 0) return true;
    let freed = this.#freeFrom(this.versions.previous(version));
    this.versions.setPrevious(version, 0);
    if (this.versions.isTombstone(version) && this.versions.modRevision(version) < compactRevision) {
      freed += this.#freeFrom(version);
      if (newer === 0) {
        this.keys.free(slot);
        return false;
      }
      this.versions.setPrevious(newer, 0);
    }
    this.keys.addWeight(slot, -freed);
    return true;
  }

  /** Bytes that a live key counts for, besides its value. */
  #liveOverhead(slot: number): number {
    return this.keys.length(slot) + KEY_OVERHEAD_BYTES + VERSION_OVERHEAD_BYTES;
  }

  liveBytesOf(slot: number): number {
    return this.versions.contentLength(this.keys.head(slot)) + this.#liveOverhead(slot);
  }

  #nextRevision(): number {
    if (this.#writerEpoch === 0) throw new InvariantError("No writer is at work");
    return this.revision + 1;
  }

  #append(slot: number, version: number): void {
    this.keys.setHead(slot, version);
    this.changes.append(version);
    this.#sub += 1;
  }

  #hang(slot: number, before: bigint, lease: bigint): void {
    if (before === lease) return;
    if (before !== 0n) this.leases.detach(before, slot);
    if (lease !== 0n) this.leases.attach(lease, slot);
  }

  #setCommitted(view: View): void {
    this.#committed = view;
    this.#committedPages = this.tree.pageCount;
    this.#committedLiveBytes = this.#liveBytes;
  }

  /** `leaves`: nobody can ask for the change itself any more. */
  #sweepVersion(version: number, leaves: boolean): void {
    const slot = this.versions.key(version);
    let freed = this.#freeFrom(this.versions.previous(version));
    this.versions.setPrevious(version, 0);
    const gone = leaves && this.versions.isTombstone(version) && this.keys.head(slot) === version;
    if (gone) {
      freed += this.#freeFrom(version);
      this.keys.setHead(slot, 0);
    }
    if (freed === 0) return;
    this.tree.seek(this.keys.read(slot));
    if (gone) {
      this.tree.remove(this.keys.weight(slot));
      this.#deadKeys.push({ slot, epoch: this.tree.epoch });
    } else {
      this.keys.addWeight(slot, -freed);
      this.tree.touch(-freed, 0);
    }
  }

  /** Frees a version and all before it. @returns the bytes they took in a page. */
  #freeFrom(version: number): number {
    let bytes = 0;
    for (let at = version; at !== 0;) {
      const previous = this.versions.previous(at);
      bytes += PAGE_VERSION_BYTES + this.versions.contentLength(at);
      this.versions.free(at);
      at = previous;
    }
    return bytes;
  }

  /** Oldest first, as their epochs are in order. */
  #freeDeadKeys(units: number): void {
    const oldest = this.pins.oldestEpoch;
    let freed = 0;
    for (const { slot, epoch } of this.#deadKeys) {
      if (freed === units || epoch > oldest) break;
      this.keys.free(slot);
      freed += 1;
    }
    if (freed > 0) this.#deadKeys.splice(0, freed);
  }
}
