import { type Bytes } from "./commands.ts";
import { type KeyTable } from "./keys.ts";

export type Node = Leaf | Branch;

/** Keys in order, as slots; and the page that holds them in the checkpoint. */
export class Leaf {
  readonly epoch: number;
  readonly page: number;
  readonly keys: number[];
  /** Keys whose newest version is no tombstone. */
  live = 0;
  /** Bytes in a page, about. */
  weight = 0;
  /** Epoch of the last change to a key or version in it. */
  stamp = 0;

  constructor(epoch: number, page: number, keys: number[]) {
    this.epoch = epoch;
    this.page = page;
    this.keys = keys;
  }

  get first(): number {
    return this.keys[0] ?? 0;
  }

  copy(epoch: number): Leaf {
    const copy = new Leaf(epoch, this.page, this.keys.slice());
    copy.live = this.live;
    copy.weight = this.weight;
    copy.stamp = this.stamp;
    return copy;
  }
}

export class Branch {
  readonly epoch: number;
  readonly children: Node[];
  /** Smallest key of each child. */
  readonly firsts: number[];
  /** Sum over the children. */
  live = 0;

  constructor(epoch: number, children: Node[], firsts: number[]) {
    this.epoch = epoch;
    this.children = children;
    this.firsts = firsts;
  }

  static of(epoch: number, children: readonly Node[]): Branch {
    const branch = new Branch(
      epoch,
      children.slice(),
      children.map((child) => child.first),
    );
    for (const child of children) branch.live += child.live;
    return branch;
  }

  get first(): number {
    return this.firsts[0] ?? 0;
  }

  copy(epoch: number): Branch {
    const copy = new Branch(epoch, this.children.slice(), this.firsts.slice());
    copy.live = this.live;
    return copy;
  }
}

export const BRANCH_CHILDREN_MAX = 64;
export const BRANCH_CHILDREN_MIN = 16;

/** The child that `key` belongs to: the last one that does not begin behind it, else the first. */
export function childIndex(branch: Branch, keys: KeyTable, key: Bytes): number {
  const { firsts } = branch;
  let low = 1;
  let high = firsts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys.compare(firsts[middle] as number, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Position of the first key of the leaf that is not before `key`. */
export function keyIndex(leaf: Leaf, keys: KeyTable, key: Bytes): number {
  let low = 0;
  let high = leaf.keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys.compare(leaf.keys[middle] as number, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Slot of `key` under `root`, or 0. */
export function findKey(root: Node, keys: KeyTable, key: Bytes): number {
  let node = root;
  while (node instanceof Branch) node = node.children[childIndex(node, keys, key)] as Node;
  const slot = node.keys[keyIndex(node, keys, key)];
  return slot !== undefined && keys.compare(slot, key) === 0 ? slot : 0;
}

/** Live keys before `key` under `root`. */
export function countBefore(root: Node, keys: KeyTable, key: Bytes, isLive: (slot: number) => boolean): number {
  let count = 0;
  let node = root;
  while (node instanceof Branch) {
    const index = childIndex(node, keys, key);
    for (let i = 0; i < index; i += 1) count += (node.children[i] as Node).live;
    node = node.children[index] as Node;
  }
  const position = keyIndex(node, keys, key);
  for (let i = 0; i < position; i += 1) if (isLive(node.keys[i] as number)) count += 1;
  return count;
}

/** Walks the leaves under a root that does not change, from the one where `start` belongs; or all of them. */
export class LeafCursor {
  readonly #branches: Branch[] = [];
  readonly #indexes: number[] = [];
  #leaf: Leaf | undefined;

  constructor(root: Node, keys: KeyTable, start?: Bytes) {
    let node = root;
    while (node instanceof Branch) {
      const index = start === undefined ? 0 : childIndex(node, keys, start);
      this.#branches.push(node);
      this.#indexes.push(index);
      node = node.children[index] as Node;
    }
    this.#leaf = node;
  }

  /** The leaf the cursor stands on; undefined behind the last. */
  get leaf(): Leaf | undefined {
    return this.#leaf;
  }

  advance(): void {
    this.#leaf = undefined;
    for (let level = this.#branches.length - 1; level >= 0; level -= 1) {
      const index = (this.#indexes[level] as number) + 1;
      let node = (this.#branches[level] as Branch).children[index];
      if (node === undefined) continue;
      this.#indexes[level] = index;
      for (let below = level + 1; node instanceof Branch; below += 1) {
        this.#branches[below] = node;
        this.#indexes[below] = 0;
        node = node.children[0];
      }
      this.#leaf = node;
      return;
    }
  }
}

/** Walks key slots in order under a root that does not change, from `start` on. */
export class KeyCursor {
  readonly #leaves: LeafCursor;
  #position: number;

  constructor(root: Node, keys: KeyTable, start: Bytes) {
    this.#leaves = new LeafCursor(root, keys, start);
    const { leaf } = this.#leaves;
    this.#position = leaf === undefined ? 0 : keyIndex(leaf, keys, start);
  }

  /** The next slot; 0 at the end. */
  next(): number {
    for (let { leaf } = this.#leaves; leaf !== undefined; leaf = this.#leaves.leaf) {
      const slot = leaf.keys[this.#position];
      if (slot !== undefined) {
        this.#position += 1;
        return slot;
      }
      this.#leaves.advance();
      this.#position = 0;
    }
    return 0;
  }
}

/** Builds the branches over leaves in key order. */
export function buildTree(epoch: number, leaves: readonly Leaf[]): Node {
  let level: readonly Node[] = leaves;
  while (level.length > 1) {
    const above: Branch[] = [];
    const size = Math.ceil(level.length / Math.ceil(level.length / BRANCH_FILL));
    for (let from = 0; from < level.length; from += size) above.push(Branch.of(epoch, level.slice(from, from + size)));
    level = above;
  }
  return level[0] ?? new Leaf(epoch, 1, []);
}

const BRANCH_FILL = 48;
