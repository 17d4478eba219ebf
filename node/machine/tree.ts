import { invariant } from "./assert.ts";
import { type Bytes } from "./commands.ts";
import { type KeyTable } from "./keys.ts";
import {
  Branch,
  buildTree,
  BRANCH_CHILDREN_MAX,
  BRANCH_CHILDREN_MIN,
  childIndex,
  keyIndex,
  Leaf,
  type Node,
} from "./tree-node.ts";

/**
 * Copy-on-write B+tree over key slots, in the order of the raw key bytes. A root that somebody holds never changes its
 * keys: a node is changed in place only when it was made in the current epoch, else it is copied first. So a snapshot
 * is a root and a new epoch.
 *
 * A leaf is also a page of the checkpoint: it has a page number for life, and a stamp that says when its content last
 * changed. Weight and stamp are bookkeeping, not content, and change in place in any epoch.
 *
 * Changing the tree is two steps: `seek` finds the place, then one of `insert`, `touch` and `remove` works there.
 */
export class Tree {
  readonly #keys: KeyTable;
  readonly #isLive: (slot: number) => boolean;
  #root: Node;
  #epoch = 1;
  #nextPage: number;
  #pageCount: number;
  #removedPages: { readonly page: number; readonly epoch: number }[] = [];
  /** The place found by `seek`: branches from the root down, the child taken in each, the leaf, the position in it. */
  #branches: Branch[] = [];
  #indexes: number[] = [];
  #leaf: Leaf;
  #position = 0;

  /** `isLive`: whether the newest version of a key is no tombstone; the store knows versions, the tree does not. */
  constructor(keys: KeyTable, isLive: (slot: number) => boolean) {
    this.#keys = keys;
    this.#isLive = isLive;
    this.#leaf = new Leaf(1, 1, []);
    this.#leaf.stamp = 1;
    this.#root = this.#leaf;
    this.#nextPage = 2;
    this.#pageCount = 1;
  }

  /**
   * Replaces everything by leaves that were read from a checkpoint, in key order; without a leaf there is one empty page.
   * `emptyPages` were there too, but nothing of them is left.
   */
  load(leaves: readonly Leaf[], nextPage: number, emptyPages: readonly number[]): void {
    this.#epoch += 1;
    this.#nextPage = nextPage;
    this.#pageCount = leaves.length;
    this.#removedPages = emptyPages.map((page) => ({ page, epoch: this.#epoch }));
    if (leaves.length > 0) this.#root = buildTree(this.#epoch, leaves);
    else {
      const empty = new Leaf(this.#epoch, this.#newPage(), []);
      empty.stamp = this.#epoch;
      this.#root = empty;
    }
  }

  get pageCount(): number {
    return this.#pageCount;
  }

  get root(): Node {
    return this.#root;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Every number below it was given to a page. */
  get nextPage(): number {
    return this.#nextPage;
  }

  /** Pages that are no more, and the epoch in which they went; until `forgetRemovedPages`. */
  get removedPages(): readonly { readonly page: number; readonly epoch: number }[] {
    return this.#removedPages;
  }

  forgetRemovedPages(epoch: number): void {
    this.#removedPages = this.#removedPages.filter((removed) => removed.epoch > epoch);
  }

  /** From now on nothing reachable from the present root is changed. */
  nextEpoch(): number {
    this.#epoch += 1;
    return this.#epoch;
  }

  /** Slot of `key`, or 0; remembers the place. */
  seek(key: Bytes): number {
    this.#branches = [];
    this.#indexes = [];
    let node = this.#root;
    while (node instanceof Branch) {
      const index = childIndex(node, this.#keys, key);
      this.#branches.push(node);
      this.#indexes.push(index);
      node = node.children[index] as Node;
    }
    this.#leaf = node;
    this.#position = keyIndex(node, this.#keys, key);
    const slot = node.keys[this.#position];
    return slot !== undefined && this.#keys.compare(slot, key) === 0 ? slot : 0;
  }

  /** Puts a live key at the sought place. */
  insert(slot: number, weight: number): void {
    this.#own();
    const leaf = this.#leaf;
    const appended = this.#position === leaf.keys.length;
    if (appended) leaf.keys.push(slot);
    else leaf.keys.splice(this.#position, 0, slot);
    if (this.#position === 0) this.#firstChanged(slot);
    this.#addLive(1);
    this.#reweigh(weight, appended);
  }

  /** The sought key's versions changed: `weight` more bytes, `live` more (or fewer) live keys. */
  touch(weight: number, live: number): void {
    if (live !== 0) {
      this.#own();
      this.#addLive(live);
    }
    this.#reweigh(weight, false);
  }

  /** Takes the sought key, which is not live, out. `weight`: what it weighed. */
  remove(weight: number): void {
    this.#own();
    const leaf = this.#leaf;
    leaf.keys.splice(this.#position, 1);
    leaf.weight -= weight;
    leaf.stamp = this.#epoch;
    if (leaf.keys.length === 0) this.#removeChild(this.#branches.length - 1);
    else {
      if (this.#position === 0) this.#firstChanged(leaf.keys[0] as number);
      if (leaf.weight < LEAF_BYTES_MIN) this.#mergeLeaf();
    }
  }

  #reweigh(weight: number, appended: boolean): void {
    this.#leaf.weight += weight;
    this.#leaf.stamp = this.#epoch;
    if (this.#leaf.weight > LEAF_BYTES_MAX && this.#leaf.keys.length > 1) this.#splitLeaf(appended);
  }

  /** Copies what lies on the way and belongs to an older epoch. */
  #own(): void {
    const epoch = this.#epoch;
    for (let level = 0; level < this.#branches.length; level += 1) {
      const branch = this.#branches[level] as Branch;
      if (branch.epoch === epoch) continue;
      const copy = branch.copy(epoch);
      this.#replace(level, copy);
      this.#branches[level] = copy;
    }
    if (this.#leaf.epoch === epoch) return;
    this.#leaf = this.#leaf.copy(epoch);
    this.#replace(this.#branches.length, this.#leaf);
  }

  /** Hangs `node` in where the way passes at `level` (0 is the root). */
  #replace(level: number, node: Node): void {
    if (level === 0) this.#root = node;
    else (this.#branches[level - 1] as Branch).children[this.#indexes[level - 1] as number] = node;
  }

  #addLive(live: number): void {
    for (const branch of this.#branches) branch.live += live;
    this.#leaf.live += live;
  }

  /** What hangs below the branch at `from` begins with another key now: tells the branches that noted the old one. */
  #firstChanged(slot: number, from = this.#branches.length - 1): void {
    for (let level = from; level >= 0; level -= 1) {
      const index = this.#indexes[level] as number;
      (this.#branches[level] as Branch).firsts[index] = slot;
      if (index !== 0) return;
    }
  }

  #splitLeaf(appended: boolean): void {
    this.#own();
    const leaf = this.#leaf;
    const bounds: number[] = [];
    // Keys that arrive in order leave full pages behind, not half-empty ones.
    const last = leaf.keys.length - 1;
    if (appended && leaf.weight - this.#keys.weight(leaf.keys[last] as number) <= LEAF_BYTES_MAX) bounds.push(0, last);
    else this.#splitBounds(leaf.keys, 0, leaf.keys.length, leaf.weight, bounds);
    const parts = bounds.map((from, i) => {
      const keys = leaf.keys.slice(from, bounds[i + 1] ?? leaf.keys.length);
      const part = new Leaf(this.#epoch, i === 0 ? leaf.page : this.#newPage(), keys);
      part.stamp = this.#epoch;
      part.weight = keys.reduce((sum, slot) => sum + this.#keys.weight(slot), 0);
      return part;
    });
    for (const part of parts) part.live = part.keys.reduce((sum, slot) => sum + Number(this.#isLive(slot)), 0);
    this.#replaceByParts(this.#branches.length, parts);
  }

  /** Cuts [from, to) in halves of like weight until each fits a page; pushes where the pieces begin. */
  #splitBounds(keys: readonly number[], from: number, to: number, weight: number, bounds: number[]): void {
    if (weight <= LEAF_BYTES_MAX || to - from === 1) {
      bounds.push(from);
      return;
    }
    let left = this.#keys.weight(keys[from] as number);
    let middle = from + 1;
    while (middle < to - 1) {
      const next = this.#keys.weight(keys[middle] as number);
      if (left + next > weight / 2) break;
      left += next;
      middle += 1;
    }
    this.#splitBounds(keys, from, middle, left, bounds);
    this.#splitBounds(keys, middle, to, weight - left, bounds);
  }

  /** Puts the pieces of a node in its place, and splits the branch above when it is full. */
  #replaceByParts(level: number, parts: readonly Node[]): void {
    if (level === 0) {
      this.#root = parts.length === 1 ? (parts[0] as Node) : Branch.of(this.#epoch, parts);
      return;
    }
    const parent = this.#branches[level - 1] as Branch;
    const index = this.#indexes[level - 1] as number;
    parent.children.splice(index, 1, ...parts);
    parent.firsts.splice(index, 1, ...parts.map((part) => part.first));
    if (parent.children.length <= BRANCH_CHILDREN_MAX) return;
    const pieces = Math.ceil(parent.children.length / (BRANCH_CHILDREN_MAX / 2));
    const size = Math.ceil(parent.children.length / pieces);
    const halves: Branch[] = [];
    for (let from = 0; from < parent.children.length; from += size)
      halves.push(Branch.of(this.#epoch, parent.children.slice(from, from + size)));
    this.#replaceByParts(level - 1, halves);
  }

  /** Takes the child on the way out of the branch at `level`; an empty leaf that is the root stays. */
  #removeChild(level: number): void {
    if (level < 0) return;
    const branch = this.#branches[level] as Branch;
    const index = this.#indexes[level] as number;
    const gone = branch.children[index];
    if (gone instanceof Leaf) this.#removePage(gone.page);
    branch.children.splice(index, 1);
    branch.firsts.splice(index, 1);
    if (branch.children.length === 0) {
      invariant(level > 0, "A root branch has at least two children");
      this.#removeChild(level - 1);
      return;
    }
    if (index === 0) this.#firstChanged(branch.first, level - 1);
    this.#shrink(level);
  }

  /** A branch lost a child: the root gives way to an only child, another one joins a neighbour when both fit in one. */
  #shrink(level: number): void {
    const branch = this.#branches[level] as Branch;
    if (level === 0) {
      let root: Node = branch;
      while (root instanceof Branch && root.children.length === 1) root = root.children[0] as Node;
      this.#root = root;
      return;
    }
    if (branch.children.length >= BRANCH_CHILDREN_MIN) return;
    const parent = this.#branches[level - 1] as Branch;
    const index = this.#indexes[level - 1] as number;
    for (const at of [index - 1, index]) {
      const left = parent.children[at];
      const right = parent.children[at + 1];
      if (!(left instanceof Branch && right instanceof Branch)) continue;
      if (left.children.length + right.children.length > BRANCH_CHILDREN_MAX) continue;
      this.#joinAt(parent, at, Branch.of(this.#epoch, [...left.children, ...right.children]));
      this.#shrink(level - 1);
      return;
    }
  }

  /** A leaf became light: joins it with a neighbour when the two make no more than three quarters of a page. */
  #mergeLeaf(): void {
    const level = this.#branches.length - 1;
    const parent = this.#branches[level];
    if (parent === undefined) return;
    const index = this.#indexes[level] as number;
    for (const at of [index - 1, index]) {
      const left = parent.children[at];
      const right = parent.children[at + 1];
      if (!(left instanceof Leaf && right instanceof Leaf)) continue;
      if (left.weight + right.weight > LEAF_BYTES_JOINED_MAX) continue;
      const joined = new Leaf(this.#epoch, left.page, [...left.keys, ...right.keys]);
      joined.live = left.live + right.live;
      joined.weight = left.weight + right.weight;
      joined.stamp = this.#epoch;
      this.#removePage(right.page);
      this.#joinAt(parent, at, joined);
      this.#shrink(level);
      return;
    }
  }

  #joinAt(parent: Branch, at: number, joined: Node): void {
    parent.children.splice(at, 2, joined);
    parent.firsts.splice(at, 2, joined.first);
  }

  #newPage(): number {
    this.#pageCount += 1;
    this.#nextPage += 1;
    return this.#nextPage - 1;
  }

  #removePage(page: number): void {
    this.#pageCount -= 1;
    this.#removedPages.push({ page, epoch: this.#epoch });
  }
}

/** Bytes beyond which a leaf is split, when it has more than one key. */
export const LEAF_BYTES_MAX = 16_384;
const LEAF_BYTES_MIN = LEAF_BYTES_MAX / 4;
const LEAF_BYTES_JOINED_MAX = (LEAF_BYTES_MAX * 3) / 4;
