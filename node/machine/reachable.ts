import { type Store } from "./store.ts";
import { type RevisionBounds } from "./txn.ts";

/**
 * The versions of a key that some reader or watch from `compactRevision` to `revision` can see, newest first. Tombstones
 * are among them, at the compacted revision too: a watch that begins there is told of them. How far the sweep has come
 * makes no difference.
 */
export function reachableVersions({ keys, versions }: Store, slot: number, bounds: RevisionBounds): number[] {
  const reachable: number[] = [];
  let version = versions.newestAt(keys.head(slot), bounds.revision);
  while (version !== 0 && versions.modRevision(version) > bounds.compactRevision) {
    reachable.push(version);
    version = versions.previous(version);
  }
  if (version === 0) return reachable;
  if (!versions.isTombstone(version) || versions.modRevision(version) === bounds.compactRevision)
    reachable.push(version);
  return reachable;
}
