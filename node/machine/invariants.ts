import { invariant } from "./assert.ts";
import { PAGE_KEY_BYTES, PAGE_VERSION_BYTES, type Store } from "./store.ts";
import { Branch, type Leaf, type Node } from "./tree-node.ts";

/** Checks everything that must hold between commands. Reads all of the store; for tests. */
export function checkStore(store: Store): void {
  invariant(!store.isWriting, "A writer is at work");
  invariant(store.committed.root === store.tree.root, "The tree is ahead of the committed root");
  const leaves: Leaf[] = [];
  collectLeaves(store.tree.root, leaves);
  invariant(leaves.length === store.committedPages, "Pages are miscounted");
  invariant(new Set(leaves.map(({ page }) => page)).size === leaves.length, "Two leaves have the same page");
  let previous = 0;
  let versions = 0;
  let liveBytes = 0;
  for (const leaf of leaves) {
    invariant(leaf.page < store.tree.nextPage, "A page number was never given out");
    let live = 0;
    let weight = 0;
    for (const slot of leaf.keys) {
      invariant(previous === 0 || store.keys.compareSlots(previous, slot) < 0, "Keys are out of order");
      previous = slot;
      const checked = checkKey(store, slot);
      versions += checked.versions;
      weight += checked.weight;
      if (!store.isLive(slot)) continue;
      live += 1;
      liveBytes += store.liveBytesOf(slot);
    }
    invariant(leaf.live === live, "Live keys of a leaf are miscounted");
    invariant(leaf.weight === weight, "A leaf weighs something else");
  }
  invariant(store.versions.count === versions, "Some version belongs to no key");
  invariant(store.liveBytes === liveBytes, "Live bytes are miscounted");
  checkChanges(store);
  checkLeases(store, leaves);
  checkEnds(store, leaves);
}

function checkEnds(store: Store, leaves: readonly Leaf[]): void {
  const slots = leaves.flatMap(({ keys }) => keys).filter((slot) => store.ends.get(slot) !== 0);
  invariant(slots.length === store.ends.count, "Rows with an end are miscounted");
  invariant(
    slots.every((slot) => store.isLive(slot)),
    "A row that is not there has an end",
  );
  invariant(!store.ends.isStaging, "An end was set and not committed");
}

function checkLeases({ keys, versions, leases }: Store, leaves: readonly Leaf[]): void {
  let attached = 0;
  for (const { keys: slots } of leaves)
    for (const slot of slots) {
      const head = keys.head(slot);
      if (versions.isTombstone(head) || versions.lease(head) === 0n) continue;
      attached += 1;
      invariant(leases.keysOf(versions.lease(head)).includes(slot), "A key does not hang on its lease");
    }
  invariant(leases.attachments === attached, "A lease has keys that do not hang on it");
  for (const { id } of leases.list()) invariant(leases.get(id)?.id === id, "A lease is in the wrong bucket");
}

function collectLeaves(node: Node, leaves: Leaf[]): void {
  if (!(node instanceof Branch)) {
    leaves.push(node);
    return;
  }
  invariant(node.children.length === node.firsts.length, "A branch has as many first keys as children");
  let live = 0;
  for (const [i, child] of node.children.entries()) {
    invariant(child.first === node.firsts[i], "A branch knows the first key of each child");
    live += child.live;
    collectLeaves(child, leaves);
  }
  invariant(node.live === live, "Live keys of a branch are miscounted");
}

function checkKey({ keys, versions, revision }: Store, slot: number): { versions: number; weight: number } {
  let count = 0;
  let weight = PAGE_KEY_BYTES + keys.length(slot);
  let newer = revision + 1;
  for (let version = keys.head(slot); version !== 0; version = versions.previous(version)) {
    invariant(versions.isUsed(version) && versions.key(version) === slot, "A key has a version that is not its own");
    invariant(versions.modRevision(version) < newer, "Versions of a key are out of order");
    newer = versions.modRevision(version);
    count += 1;
    weight += PAGE_VERSION_BYTES + versions.contentLength(version);
  }
  invariant(count > 0, "A key in the tree has no version");
  invariant(keys.weight(slot) === weight, "A key weighs something else");
  return { versions: count, weight };
}

function checkChanges({ changes, versions, revision, compactRevision }: Store): void {
  let last = Math.max(compactRevision - 1, 1);
  let sub = 0;
  for (let position = changes.live; position < changes.end; position += 1) {
    const version = changes.at(position);
    invariant(versions.isUsed(version), "The change log names a version that is gone");
    if (versions.modRevision(version) !== last) {
      invariant(versions.modRevision(version) === last + 1, "The change log skips a revision");
      last += 1;
      sub = 0;
    }
    invariant(versions.sub(version) === sub, "The change log skips a change");
    sub += 1;
  }
  invariant(last === Math.max(revision, 1), "The change log ends before the revision");
}
