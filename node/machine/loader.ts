import { type Bytes } from "./commands.ts";
import { decodeMeta, type Meta } from "./meta.ts";
import { isLeasePage, loadLeasePage } from "./lease-pages.ts";
import { CorruptPageError } from "./page-bytes.ts";
import { decodePage } from "./pages.ts";
import { decodeRecordPage, isRecordPage, loadRecords } from "./write-record-pages.ts";
import { type RecordSegment } from "./write-records.ts";
import { sortChanges } from "./change-order.ts";
import { Store } from "./store.ts";
import { type Leaf } from "./tree-node.ts";

/**
 * Builds a store from pages. A page may have been written long before the meta, when less was compacted, so versions
 * that cannot be reached any more are dropped. Everything else must fit together exactly: what a checkpoint lost would
 * else be served as truth.
 */
export class StoreLoader {
  readonly #store = new Store();
  readonly #leaves: Leaf[] = [];
  readonly #segments: RecordSegment[] = [];
  readonly #numbers = new Set<number>();
  readonly #revisionBump: number;

  /** @param revisionBump - added to every revision of the pages; the meta has it already. @default 0 */
  constructor(revisionBump = 0) {
    this.#revisionBump = revisionBump;
  }

  page(number: number, bytes: Bytes): void {
    if (!Number.isSafeInteger(number) || number < 1) throw new CorruptPageError(`Page number ${number} is no number`);
    if (this.#numbers.has(number)) throw new CorruptPageError(`Page ${number} is there twice`);
    this.#numbers.add(number);
    if (isLeasePage(number)) loadLeasePage(this.#store.leases, number, bytes);
    else if (isRecordPage(number)) this.#segments.push(decodeRecordPage(number, bytes));
    else this.#leaves.push(decodePage(this.#store, number, bytes, this.#revisionBump));
  }

  finish(metaBytes: Bytes, machineVersionMax: number): { readonly store: Store; readonly meta: Meta } {
    const meta = decodeMeta(metaBytes, machineVersionMax);
    const store = this.#store;
    const { keys } = store;
    if (this.#leaves.length !== meta.pages)
      throw new CorruptPageError(`Meta tells of ${meta.pages} pages, ${this.#leaves.length} are there`);
    const changed: number[] = [];
    let liveBytes = 0;
    let liveKeys = 0;
    for (const leaf of this.#leaves) {
      if (leaf.page >= meta.nextPage) throw new CorruptPageError(`Page ${leaf.page} is not below ${meta.nextPage}`);
      this.#settle(leaf, meta, changed);
      for (const slot of leaf.keys) {
        if (!store.isLive(slot)) continue;
        liveBytes += store.liveBytesOf(slot);
        this.#hang(slot, leaf.page);
      }
      liveKeys += leaf.live;
    }
    if (store.leases.count !== meta.leases)
      throw new CorruptPageError(`Meta tells of ${meta.leases} leases, ${store.leases.count} are there`);
    loadRecords(store.records, this.#segments, meta);
    if (liveKeys !== meta.liveKeys)
      throw new CorruptPageError(`Meta tells of ${meta.liveKeys} live keys, ${liveKeys} are there`);
    const [empty, leaves] = partition(this.#leaves);
    leaves.sort((a, b) => keys.compareSlots(a.first, b.first));
    for (let i = 1; i < leaves.length; i += 1) {
      const last = (leaves[i - 1] as Leaf).keys.at(-1) as number;
      if (keys.compareSlots(last, (leaves[i] as Leaf).first) >= 0)
        throw new CorruptPageError(`Pages ${(leaves[i - 1] as Leaf).page} and ${(leaves[i] as Leaf).page} overlap`);
    }
    for (const version of sortChanges(store.versions, changed, meta)) store.changes.append(version);
    store.tree.load(
      leaves,
      meta.nextPage,
      empty.map(({ page }) => page),
    );
    store.loaded(meta.revision, meta.compactRevision, liveBytes);
    return { store, meta };
  }

  #hang(slot: number, page: number): void {
    const { keys, versions, leases } = this.#store;
    const lease = versions.lease(keys.head(slot));
    if (lease === 0n) return;
    if (!leases.has(lease)) throw new CorruptPageError(`Page ${page} has a key of lease ${lease}, which is not there`);
    leases.attach(lease, slot);
  }

  /** Drops what is compacted, collects the changes since the compacted revision, and sums the leaf up. */
  #settle(leaf: Leaf, meta: Meta, changed: number[]): void {
    const { keys, versions } = this.#store;
    const kept: number[] = [];
    for (const slot of leaf.keys) {
      const head = keys.head(slot);
      if (versions.modRevision(head) > meta.revision)
        throw new CorruptPageError(
          `Page ${leaf.page} has mod revision ${versions.modRevision(head)}, the state's is ${meta.revision}`,
        );
      let newer = 0;
      let version = head;
      while (version !== 0 && versions.modRevision(version) > meta.compactRevision) {
        changed.push(version);
        newer = version;
        version = versions.previous(version);
      }
      if (version !== 0 && versions.modRevision(version) === meta.compactRevision) changed.push(version);
      if (version === 0 && (versions.isTombstone(newer) || versions.version(newer) !== 1))
        throw new CorruptPageError(`Page ${leaf.page} lacks what was before revision ${versions.modRevision(newer)}`);
      if (this.#store.dropCompacted(slot, newer, version, meta.compactRevision)) kept.push(slot);
    }
    leaf.keys.length = 0;
    leaf.keys.push(...kept);
    leaf.live = kept.reduce((live, slot) => live + Number(this.#store.isLive(slot)), 0);
    leaf.weight = kept.reduce((weight, slot) => weight + keys.weight(slot), 0);
  }
}

function partition(leaves: readonly Leaf[]): [empty: Leaf[], filled: Leaf[]] {
  return [leaves.filter(({ keys }) => keys.length === 0), leaves.filter(({ keys }) => keys.length > 0)];
}
