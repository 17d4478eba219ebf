import { type Budget, type Sliced } from "./budget.ts";
import { type Bytes, type Reply } from "./commands.ts";
import { type Store } from "./store.ts";
import { findKey } from "./tree-node.ts";

/** A row that has ended, as the leader saw it. */
export interface EndedRow {
  readonly key: Bytes;
  /** Cluster time, ms. */
  readonly endMs: number;
}

/**
 * Takes away, in one revision, the rows whose end is still the one that was seen and has come by the entry's stamp: one
 * that was touched or put anew in between stays.
 */
export function* expireRows(store: Store, rows: readonly EndedRow[], budget: Budget): Sliced<Reply> {
  let deleted = 0;
  store.begin();
  for (const { key, endMs } of rows) {
    const slot = findKey(store.tree.root, store.keys, key);
    if (slot !== 0 && endMs !== 0 && endMs <= store.nowMs && store.ends.working(slot) === endMs)
      deleted += Number(store.remove(key) !== 0);
    if (budget.spend()) yield;
  }
  store.commit();
  return { type: "delete", deleted, previous: [] };
}

/** At most `count` rows that have ended by `nowMs`, those first that ended first. */
export function endedRows({ ends, keys }: Store, nowMs: number, count: number): EndedRow[] {
  return ends.due(nowMs, count).map((slot) => ({ key: keys.read(slot), endMs: ends.get(slot) }));
}
