import { type Store } from "./store.ts";
import { type RevisionBounds } from "./txn.ts";

/**
 * The versions of a key that some reader at a revision from `compactRevision` to `revision` can see, newest first,
 * tombstones of live history included. How far the sweep has come makes no difference.
 */
export function reachableVersions({ keys, versions }: Store, slot: number, bounds: RevisionBounds): number[] {
  const reachable: number[] = [];
  let version = versions.newestAt(keys.head(slot), bounds.revision);
  while (version !== 0 && versions.modRevision(version) > bounds.compactRevision) {
    reachable.push(version);
    version = versions.previous(version);
  }
  if (version !== 0 && !versions.isTombstone(version)) reachable.push(version);
  return reachable;
}
