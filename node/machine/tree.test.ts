import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { compareBytes } from "./key-range.ts";
import { KeyTable } from "./keys.ts";
import { Slab } from "./slab.ts";
import { LEAF_BYTES_MAX, Tree } from "./tree.ts";
import {
  Branch,
  BRANCH_CHILDREN_MAX,
  countBefore,
  findKey,
  KeyCursor,
  type Leaf,
  LeafCursor,
  type Node,
} from "./tree-node.ts";

/** A tree of keys without versions: what is in it is live. */
class Keys {
  readonly table = new KeyTable(new Slab());
  readonly tree = new Tree(this.table, () => true);

  insert(key: Uint8Array, weight: number): void {
    if (this.tree.seek(key) !== 0) return;
    const slot = this.table.add(key);
    this.table.addWeight(slot, weight);
    this.tree.insert(slot, weight);
  }

  remove(key: Uint8Array): void {
    const slot = this.tree.seek(key);
    if (slot === 0) return;
    this.tree.touch(0, -1);
    this.tree.seek(key);
    this.tree.remove(this.table.weight(slot));
  }

  list(root: Node, start: Uint8Array = Uint8Array.of(0)): string[] {
    const cursor = new KeyCursor(root, this.table, start);
    const found: string[] = [];
    for (let slot = cursor.next(); slot !== 0; slot = cursor.next()) found.push(hex(this.table.read(slot)));
    return found;
  }

  leaves(): Leaf[] {
    const cursor = new LeafCursor(this.tree.root, this.table);
    const leaves: Leaf[] = [];
    for (let { leaf } = cursor; leaf !== undefined; leaf = cursor.leaf) {
      leaves.push(leaf);
      cursor.advance();
    }
    return leaves;
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const number = (n: number): Uint8Array<ArrayBuffer> => Uint8Array.of(n >> 16, n >> 8, n);

function depthOf(node: Node): number {
  return node instanceof Branch ? 1 + depthOf(node.children[0]!) : 1;
}

function check(node: Node): void {
  if (!(node instanceof Branch)) return;
  expect(node.children.length).toBeLessThanOrEqual(BRANCH_CHILDREN_MAX);
  expect(node.firsts).toEqual(node.children.map((child) => child.first));
  expect(node.live).toBe(node.children.reduce((live, child) => live + child.live, 0));
  expect(new Set(node.children.map(depthOf)).size).toBe(1);
  node.children.forEach(check);
}

describe("tree", () => {
  it("grows to many levels and back to an empty leaf, in any order", () => {
    const keys = new Keys();
    const count = 10_000;
    const shuffled = Array.from({ length: count }, (_, i) => (i * 7919) % count);
    // A page holds two of these, so there are some thousand leaves.
    for (const n of shuffled) keys.insert(number(n), LEAF_BYTES_MAX / 2 - 10);
    check(keys.tree.root);
    expect(depthOf(keys.tree.root)).toBeGreaterThanOrEqual(3);
    expect(keys.list(keys.tree.root)).toEqual(Array.from({ length: count }, (_, n) => hex(number(n))));
    expect(keys.leaves().length).toBe(keys.tree.pageCount);
    const isLive = (): boolean => true;
    expect(countBefore(keys.tree.root, keys.table, number(1234), isLive)).toBe(1234);
    for (const n of shuffled) {
      keys.remove(number((n * 3) % count));
      if (n % 500 === 0) check(keys.tree.root);
    }
    expect(keys.list(keys.tree.root)).toEqual([]);
    expect(keys.tree.pageCount).toBe(1);
    expect(depthOf(keys.tree.root)).toBe(1);
  });

  it("agrees with a sorted list, and old roots stay as they were", () => {
    const step = fc.tuple(
      fc.nat(400),
      fc.constantFrom(100, 3000, 9000, 20_000),
      fc.constantFrom("add", "add", "remove", "hold"),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600, size: "max" }), (steps) => {
        const keys = new Keys();
        const model = new Set<string>();
        const held: { root: Node; keys: string[] }[] = [];
        const sorted = (): string[] => [...model].sort();
        for (const [n, weight, action] of steps)
          if (action === "hold") {
            held.push({ root: keys.tree.root, keys: sorted() });
            keys.tree.nextEpoch();
          } else if (action === "add") {
            keys.insert(number(n), weight);
            model.add(hex(number(n)));
          } else {
            keys.remove(number(n));
            model.delete(hex(number(n)));
          }
        check(keys.tree.root);
        expect(keys.list(keys.tree.root)).toEqual(sorted());
        expect(keys.tree.root.live).toBe(model.size);
        for (const { root, keys: then } of held) expect(keys.list(root)).toEqual(then);
        for (const n of [0, 3, 200, 401]) {
          const key = number(n);
          expect(findKey(keys.tree.root, keys.table, key) !== 0).toBe(model.has(hex(key)));
          expect(keys.list(keys.tree.root, key)).toEqual(sorted().filter((other) => other >= hex(key)));
        }
      }),
      { numRuns: 60, seed: 6 },
    );
  });

  it("keeps pages within their size and gives every leaf a page of its own", () => {
    const keys = new Keys();
    for (let n = 0; n < 3000; n += 1) keys.insert(number((n * 31) % 3000), 200 + ((n * 17) % 900));
    const leaves = keys.leaves();
    expect(new Set(leaves.map(({ page }) => page)).size).toBe(leaves.length);
    for (const leaf of leaves) {
      expect(leaf.weight).toBe(leaf.keys.reduce((sum, slot) => sum + keys.table.weight(slot), 0));
      expect(leaf.weight).toBeLessThanOrEqual(LEAF_BYTES_MAX);
    }
  });

  it("leaves full pages behind when keys arrive in order", () => {
    const keys = new Keys();
    for (let n = 0; n < 2000; n += 1) keys.insert(number(n), 1000);
    const leaves = keys.leaves();
    expect(leaves.slice(0, -1).every(({ weight }) => weight > LEAF_BYTES_MAX * 0.9)).toBe(true);
  });

  it("puts a key that is larger than a page into a page of its own", () => {
    const keys = new Keys();
    for (const [n, weight] of [
      [1, 100],
      [3, 100],
      [2, 1_000_000],
    ] as const)
      keys.insert(number(n), weight);
    expect(keys.leaves().map((leaf) => leaf.keys.length)).toEqual([1, 1, 1]);
  });

  it("names the pages that are gone, by the epoch they went in", () => {
    const keys = new Keys();
    for (let n = 0; n < 100; n += 1) keys.insert(number(n), 9000);
    const before = new Set(keys.leaves().map(({ page }) => page));
    keys.tree.nextEpoch();
    const first = keys.tree.epoch;
    for (let n = 0; n < 50; n += 1) keys.remove(number(n));
    keys.tree.nextEpoch();
    for (let n = 50; n < 99; n += 1) keys.remove(number(n));
    const left = new Set(keys.leaves().map(({ page }) => page));
    expect(new Set(keys.tree.removedPages.map(({ page }) => page))).toEqual(
      new Set([...before].filter((page) => !left.has(page))),
    );
    keys.tree.forgetRemovedPages(first);
    expect(keys.tree.removedPages.every(({ epoch }) => epoch > first)).toBe(true);
    expect(keys.tree.removedPages.length).toBeGreaterThan(0);
  });

  it("stamps a leaf when something in it changes", () => {
    const keys = new Keys();
    for (let n = 0; n < 10; n += 1) keys.insert(number(n), 9000);
    const epoch = keys.tree.nextEpoch();
    keys.tree.seek(number(4));
    keys.tree.touch(10, 0);
    const stamped = keys.leaves().filter(({ stamp }) => stamp === epoch);
    expect(stamped.map((leaf) => hex(keys.table.read(leaf.first)))).toEqual([hex(number(4))]);
  });

  it("orders keys as raw bytes", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.uint8Array({ minLength: 1, maxLength: 4 }), { selector: hex }), (list) => {
        const keys = new Keys();
        for (const key of list) keys.insert(key, 5000);
        expect(keys.list(keys.tree.root)).toEqual([...list].sort(compareBytes).map(hex));
      }),
      { numRuns: 50, seed: 7 },
    );
  });
});
