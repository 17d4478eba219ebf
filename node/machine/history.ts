import { type Budget, type Sliced } from "./budget.ts";
import { type HistoryOperation, type HistoryReply, type KeyValue } from "./commands.ts";
import { type Store, type View } from "./store.ts";
import { findKey } from "./tree-node.ts";

/**
 * The versions of one key, newest first: all since `compactRevision`, and the row as it was at that revision. What
 * older versions the sweep has not come to yet are left out, as members sweep at their own pace and answer alike.
 */
export function* readHistory(
  store: Store,
  view: View,
  compactRevision: number,
  operation: HistoryOperation,
  budget: Budget,
): Sliced<HistoryReply> {
  const { versions } = store;
  const slot = findKey(view.root, store.keys, operation.key);
  const newest = operation.toRevision > 0 ? operation.toRevision : view.revision;
  const limit = operation.limit > 0 ? operation.limit : Infinity;
  const rows: KeyValue[] = [];
  for (let at = slot === 0 ? 0 : store.keys.head(slot); at !== 0; at = versions.previous(at)) {
    const revision = versions.modRevision(at);
    // A tombstone that old may be gone, and only says what no row says too.
    const shown = revision >= compactRevision || !versions.isTombstone(at);
    if (revision < operation.fromRevision || !shown) break;
    if (revision <= newest) {
      if (rows.length === limit) return { type: "history", rows, more: true };
      rows.push(store.rowIn(view, at, false));
      if (budget.spendBytes(versions.valueLength(at))) yield;
    }
    if (revision <= compactRevision) break;
    if (budget.spend()) yield;
  }
  return { type: "history", rows, more: false };
}
