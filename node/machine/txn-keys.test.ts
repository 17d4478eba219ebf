import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { put, range, remove, txn } from "../../test/model/machine-fixture.ts";
import { conflicts } from "../../test/model/naive-machine.ts";
import { type Operation, type TxnOperation } from "./commands.ts";
import { hasDuplicateKey } from "./txn-keys.ts";

describe("duplicate keys in a txn", () => {
  it.each([
    ["one key put twice", txn([], [put("a", "1"), put("a", "2")]), true],
    ["two keys put", txn([], [put("a", "1"), put("b", "2")]), false],
    ["a put and a delete of it", txn([], [put("a", "1"), remove("a")]), true],
    ["a delete and a put behind it", txn([], [remove("a"), put("a", "1")]), true],
    ["a put inside a deleted range", txn([], [put("b", "1"), remove("a", "c")]), true],
    ["a put at the end of a deleted range, which is not in it", txn([], [put("c", "1"), remove("a", "c")]), false],
    ["a put behind an open delete", txn([], [put("z", "1"), remove("a", "\0")]), true],
    ["a put before an open delete", txn([], [put("a", "1"), remove("b", "\0")]), false],
    ["a put in the gap between two deletes", txn([], [put("c", "1"), remove("a", "b"), remove("d", "e")]), false],
    ["a put of a key that a deleted key begins", txn([], [put("a\0", "1"), remove("a")]), false],
    ["a range that is empty because it ends before it begins", txn([], [put("b", "1"), remove("c", "a")]), false],
    ["one key deleted twice", txn([], [remove("a"), remove("a", "b")]), false],
    ["a range and a put of the same key", txn([], [range("a"), put("a", "1")]), false],
    ["the same key in both branches", txn([], [put("a", "1")], [put("a", "2")]), false],
    ["a duplicate in the failure branch", txn([], [], [put("a", "1"), put("a", "2")]), true],
    ["a nested put of the outer key", txn([], [put("a", "1"), txn([], [put("a", "2")])]), true],
    ["a nested put of the outer key in a failure branch", txn([], [put("a", "1"), txn([], [], [put("a", "2")])]), true],
    ["a nested put in an outer delete", txn([], [remove("a", "c"), txn([], [put("b", "2")])]), true],
    ["a nested delete of the outer put", txn([], [put("a", "1"), txn([], [remove("a")])]), true],
    ["the branches of a nested txn", txn([], [txn([], [put("a", "1")], [put("a", "2")])]), false],
    ["a put and a delete in the branches of a nested txn", txn([], [txn([], [put("a", "1")], [remove("a")])]), false],
    ["two nested txns side by side", txn([], [txn([], [put("a", "1")]), txn([], [put("a", "2")])]), true],
    ["side by side, the second deleting", txn([], [txn([], [put("a", "1")]), txn([], [remove("a")])]), true],
    ["side by side, the first deleting", txn([], [txn([], [remove("a")]), txn([], [put("a", "1")])]), true],
    ["side by side in different branches", txn([], [txn([], [put("a", "1")])], [txn([], [put("a", "2")])]), false],
    ["deep down", txn([], [put("a", "1"), txn([], [txn([], [txn([], [put("a", "2")])])])]), true],
  ])("%s", (_name, operation, expected) => {
    expect(hasDuplicateKey(operation)).toBe(expected);
  });

  it("agrees with trying every way through the branches", () => {
    const name = fc.constantFrom("a", "b", "c", "d", "e");
    const { nested } = fc.letrec<{ operation: Operation; nested: TxnOperation }>((tie) => ({
      operation: fc.oneof(
        { maxDepth: 3 },
        name.map((key) => put(key, "")),
        fc.tuple(name, fc.oneof(name, fc.constantFrom("", "\0"))).map(([key, end]) => remove(key, end)),
        tie("nested"),
      ),
      nested: fc
        .tuple(fc.array(tie("operation"), { maxLength: 3 }), fc.array(tie("operation"), { maxLength: 2 }))
        .map(([success, failure]) => txn([], success, failure)),
    }));
    let duplicates = 0;
    fc.assert(
      fc.property(nested, (operation) => {
        const expected = conflicts(operation);
        duplicates += Number(expected);
        expect(hasDuplicateKey(operation)).toBe(expected);
      }),
      { numRuns: 2000, seed: 9 },
    );
    expect(duplicates).toBeGreaterThan(200);
    expect(duplicates).toBeLessThan(1800);
  });

  it("takes time in proportion to the operations, not to their pairs", () => {
    const key = (i: number): string => i.toString().padStart(6, "0");
    const inner = (i: number): TxnOperation =>
      txn(
        [],
        Array.from({ length: 200 }, (_, j) => remove(key(i * 400 + 2 * j))),
        Array.from({ length: 200 }, (_, j) => put(key(i * 400 + 2 * j + 1), "")),
      );
    const operation = txn(
      [],
      Array.from({ length: 200 }, (_, i) => inner(i)),
    );
    const before = process.cpuUsage();
    expect(hasDuplicateKey(operation)).toBe(false);
    // In pairs it would be minutes.
    expect(process.cpuUsage(before).user).toBeLessThan(5_000_000);
  });
});
