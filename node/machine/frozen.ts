import { invariant } from "./assert.ts";
import { type FrozenState, type PageBytes } from "./machine-types.ts";
import { type Meta, encodeMeta } from "./meta.ts";
import { PageWriter } from "./page-bytes.ts";
import { encodePage } from "./pages.ts";
import { type Pin } from "./pins.ts";
import { type Store } from "./store.ts";
import { LeafCursor } from "./tree-node.ts";

/**
 * The committed state of one moment, paged out while the store goes on. A page is dirty when its leaf was stamped in an
 * epoch after the last checkpoint's; nothing is cleared when a freeze begins, so a checkpoint that fails loses nothing.
 */
export class FrozenStore implements FrozenState {
  readonly revision: number;
  readonly appliedIndex: number;
  readonly meta: Uint8Array;
  readonly removedPages: readonly number[];
  /** Changes up to this epoch are in the pages. */
  readonly epoch: number;
  readonly #store: Store;
  readonly #bounds: { readonly revision: number; readonly compactRevision: number };
  readonly #pin: Pin;
  readonly #cursor: LeafCursor;
  /** Leaves stamped in this epoch or before are left out. */
  readonly #cleanEpoch: number;
  readonly #writer = new PageWriter();
  #closed = false;

  /** `cleanEpoch`: epoch of the last committed checkpoint, to page out what changed since; −1 for everything. */
  constructor(store: Store, meta: Meta, cleanEpoch: number) {
    this.#store = store;
    this.#bounds = meta;
    this.revision = meta.revision;
    this.appliedIndex = meta.appliedIndex;
    this.meta = encodeMeta(meta);
    this.#cleanEpoch = cleanEpoch;
    this.#cursor = new LeafCursor(store.committed.root, store.keys);
    this.#pin = store.pinHistory();
    this.epoch = this.#pin.epoch;
    this.removedPages = store.tree.removedPages.filter(({ epoch }) => epoch <= this.epoch).map(({ page }) => page);
  }

  /** Whether all pages were taken. */
  get isDrained(): boolean {
    return this.#cursor.leaf === undefined;
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
        const page = encodePage(this.#store, leaf, this.#bounds, this.#writer);
        pages.push({ number: leaf.page, bytes: page });
        taken += page.length;
      }
      this.#cursor.advance();
    }
    return pages.length === 0 && this.isDrained ? undefined : pages;
  }

  close(): void {
    this.#closed = true;
    this.#pin.release();
  }
}
