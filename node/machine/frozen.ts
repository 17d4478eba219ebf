import { invariant } from "./assert.ts";
import { LeasePages } from "./lease-pages.ts";
import { type FrozenLeases } from "./leases.ts";
import { type FrozenState, type PageBytes } from "./machine-types.ts";
import { type Meta, encodeMeta } from "./meta.ts";
import { PageWriter } from "./page-bytes.ts";
import { encodePage } from "./pages.ts";
import { type Pin } from "./pins.ts";
import { type FrozenEnds } from "./row-ends.ts";
import { type Store } from "./store.ts";
import { LeafCursor } from "./tree-node.ts";
import { RecordPages, recordPage } from "./write-record-pages.ts";

/** How far something has come: of the tree, the leases and the write records. */
export interface Epochs {
  readonly tree: number;
  readonly leases: number;
  readonly records: number;
}

export const NOTHING_CLEAN: Epochs = { tree: -1, leases: -1, records: -1 };

/**
 * The committed state of one moment, paged out while the store goes on. A page is dirty when its leaf was stamped in an
 * epoch after the last checkpoint's; nothing is cleared when a freeze begins, so a checkpoint that fails loses nothing.
 */
export class FrozenStore implements FrozenState {
  readonly revision: number;
  readonly appliedIndex: number;
  readonly meta: Uint8Array;
  readonly removedPages: readonly number[];
  /** Changes up to these epochs are in the pages. */
  readonly epochs: Epochs;
  readonly #store: Store;
  readonly #bounds: { readonly revision: number; readonly compactRevision: number };
  readonly #pin: Pin;
  readonly #cursor: LeafCursor;
  /** Leaves stamped in this epoch or before are left out. */
  readonly #cleanEpoch: number;
  readonly #writer = new PageWriter();
  readonly #ends: FrozenEnds;
  readonly #leases: LeasePages;
  readonly #records: RecordPages;
  #closed = false;

  /** `clean`: epochs of the last committed checkpoint, to page out what changed since; `NOTHING_CLEAN` for everything. */
  constructor(store: Store, meta: Meta, clean: Epochs) {
    this.#store = store;
    this.#bounds = meta;
    this.revision = meta.revision;
    this.appliedIndex = meta.appliedIndex;
    this.meta = encodeMeta(meta);
    this.#cleanEpoch = clean.tree;
    this.#cursor = new LeafCursor(store.committed.root, store.keys);
    this.#pin = store.pinHistory();
    this.#ends = store.ends.freeze();
    const leases: FrozenLeases = store.leases.freeze();
    this.#leases = new LeasePages(leases, clean.leases, this.#writer);
    const records = store.records.freeze();
    this.#records = new RecordPages(records, clean.records, this.#writer);
    this.epochs = { tree: this.#pin.epoch, leases: leases.epoch, records: records.epoch };
    const removed = store.tree.removedPages.filter(({ epoch }) => epoch <= this.epochs.tree);
    this.removedPages = [...removed.map(({ page }) => page), ...records.removed.map(recordPage)];
  }

  /** Whether all pages were taken. */
  get isDrained(): boolean {
    return this.#cursor.leaf === undefined && this.#leases.isDrained && this.#records.isDrained;
  }

  isOf(store: Store): boolean {
    return this.#store === store;
  }

  nextPages(bytes: number): readonly PageBytes[] | undefined {
    invariant(!this.#closed, "Frozen state was closed");
    const pages: PageBytes[] = [];
    let taken = 0;
    for (let { leaf } = this.#cursor; leaf !== undefined && taken < bytes; leaf = this.#cursor.leaf) {
      if (leaf.stamp > this.#cleanEpoch) {
        const page = encodePage(this.#store, leaf, { ...this.#bounds, ends: this.#ends }, this.#writer);
        pages.push({ number: leaf.page, bytes: page });
        taken += page.length;
      }
      this.#cursor.advance();
    }
    while (taken < bytes) {
      const page = this.#leases.next() ?? this.#records.next();
      if (page === undefined) break;
      pages.push(page);
      taken += page.bytes.length;
    }
    return pages.length === 0 && this.isDrained ? undefined : pages;
  }

  close(): void {
    this.#closed = true;
    this.#pin.release();
  }
}
