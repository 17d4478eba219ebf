import { type Budget, type Sliced } from "./budget.ts";
import { type Bytes, type KeyRange, type KeyValue, type RangeOperation, type Reply } from "./commands.ts";
import { EMPTY, isOpenEnd, isSingleKey } from "./key-range.ts";
import { sortSlots } from "./slot-sort.ts";
import { type Store, type View } from "./store.ts";
import { countBefore, KeyCursor } from "./tree-node.ts";

export type RangeReply = Extract<Reply, { type: "range" }>;

/** Reads a range from a view. The view's root must not change meanwhile. */
export function* readRange(store: Store, view: View, operation: RangeOperation, budget: Budget): Sliced<RangeReply> {
  if (isSingleKey(operation)) return readSingle(store, view, operation);
  if (operation.countOnly) {
    const count = yield* countRange(store, view, operation, budget);
    return { type: "range", rows: [], count, more: false };
  }
  const inKeyOrder = operation.sortTarget === "key" && operation.sortOrder !== "descend";
  const all = !inKeyOrder || hasFilters(operation);
  // Sorting and filters need all of the range; without them, one key beyond the limit tells that there are more.
  const wanted = all || operation.limit <= 0 ? Infinity : operation.limit + 1;
  const found = yield* collectRange(store, view, operation, wanted, budget);
  let { versions } = found;
  if (hasFilters(operation)) versions = versions.filter((version) => passes(store, version, operation));
  if (!inKeyOrder) yield* sortSlots(versions, comparison(store, operation), budget);
  const more = operation.limit > 0 && versions.length > operation.limit;
  if (more) versions.length = operation.limit;
  const rows: KeyValue[] = [];
  for (const version of versions) {
    rows.push(store.rowIn(view, version, operation.keysOnly));
    if (budget.spendBytes(store.versions.valueLength(version))) yield;
  }
  return { type: "range", rows, count: found.count, more };
}

/** A range that is one key. */
export function readSingle(store: Store, view: View, operation: RangeOperation): RangeReply {
  const version = store.find(view, operation.key);
  if (version === 0) return { type: "range", rows: [], count: 0, more: false };
  const shown = !operation.countOnly && passes(store, version, operation);
  return { type: "range", rows: shown ? [store.rowIn(view, version, operation.keysOnly)] : [], count: 1, more: false };
}

/** Versions that the view shows in the range, in key order. */
export function* rangeVersions(store: Store, view: View, range: KeyRange, budget: Budget): Sliced<number[]> {
  if (isSingleKey(range)) {
    const version = store.find(view, range.key);
    return version === 0 ? [] : [version];
  }
  return (yield* collectRange(store, view, range, Infinity, budget)).versions;
}

/** At most `wanted` versions in key order, and how many there are in all. */
function* collectRange(
  store: Store,
  view: View,
  range: KeyRange,
  wanted: number,
  budget: Budget,
): Sliced<{ versions: number[]; count: number }> {
  const end = endOf(range);
  const cursor = new KeyCursor(view.root, store.keys, range.key);
  const versions: number[] = [];
  let count = 0;
  for (let slot = cursor.next(); slot !== 0; slot = cursor.next()) {
    if (end !== undefined && store.keys.compare(slot, end) >= 0) break;
    const version = store.versionOf(view, slot);
    if (version !== 0) {
      count += 1;
      if (versions.length < wanted) versions.push(version);
      else if (view.counted) return { versions, count: countLive(store, view, range) };
    }
    if (budget.spend()) yield;
  }
  return { versions, count };
}

function* countRange(store: Store, view: View, range: KeyRange, budget: Budget): Sliced<number> {
  if (view.counted) return countLive(store, view, range);
  return (yield* collectRange(store, view, range, 0, budget)).count;
}

function countLive(store: Store, view: View, range: KeyRange): number {
  const isLive = (slot: number): boolean => store.versionOf(view, slot) !== 0;
  const before = countBefore(view.root, store.keys, range.key, isLive);
  const end = endOf(range);
  const upTo = end === undefined ? view.root.live : countBefore(view.root, store.keys, end, isLive);
  return Math.max(0, upTo - before);
}

function endOf(range: KeyRange): Bytes | undefined {
  return isOpenEnd(range.rangeEnd) ? undefined : range.rangeEnd;
}

function hasFilters(operation: RangeOperation): boolean {
  return (
    operation.minModRevision !== 0 ||
    operation.maxModRevision !== 0 ||
    operation.minCreateRevision !== 0 ||
    operation.maxCreateRevision !== 0
  );
}

function passes({ versions }: Store, version: number, operation: RangeOperation): boolean {
  if (!hasFilters(operation)) return true;
  const mod = versions.modRevision(version);
  const create = versions.createRevision(version);
  return (
    (operation.minModRevision === 0 || mod >= operation.minModRevision) &&
    (operation.maxModRevision === 0 || mod <= operation.maxModRevision) &&
    (operation.minCreateRevision === 0 || create >= operation.minCreateRevision) &&
    (operation.maxCreateRevision === 0 || create <= operation.maxCreateRevision)
  );
}

/** Another target than the key without an order means ascending. Equals stay in key order, both ways. */
function comparison(store: Store, operation: RangeOperation): (left: number, right: number) => number {
  const sign = operation.sortOrder === "descend" ? -1 : 1;
  const { versions, keys } = store;
  switch (operation.sortTarget) {
    case "key":
      return (left, right) => sign * keys.compareSlots(versions.key(left), versions.key(right));
    case "version":
      return (left, right) => sign * (versions.version(left) - versions.version(right));
    case "create":
      return (left, right) => sign * (versions.createRevision(left) - versions.createRevision(right));
    case "mod":
      return (left, right) => sign * (versions.modRevision(left) - versions.modRevision(right));
    case "value":
      return (left, right) => sign * versions.compareValues(left, right);
  }
}

/** A range of one key with nothing asked for besides. */
export function singleKeyRange(key: Bytes, revision: number): RangeOperation {
  return {
    type: "range",
    key,
    rangeEnd: EMPTY,
    limit: 0,
    revision,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}
