import { describe, expect, it } from "vitest";
import { sortChanges } from "./change-order.ts";
import { CorruptPageError } from "./page-bytes.ts";
import { Slab } from "./slab.ts";
import { VersionTable } from "./versions.ts";

function table(changes: readonly (readonly [revision: number, sub: number])[]): {
  versions: VersionTable;
  slots: number[];
} {
  const versions = new VersionTable(new Slab());
  const slots = changes.map(([modRevision, sub]) =>
    versions.add(
      { key: 1, modRevision, sub, createRevision: 2, version: 1, lease: 0n, tombstone: false, previous: 0 },
      new Uint8Array(0),
    ),
  );
  return { versions, slots };
}

describe("order of changes", () => {
  it("sorts by revision and place, over more than one digit of both", () => {
    const changes: [number, number][] = [];
    for (let revision = 11; revision <= 70_100; revision += 1) changes.push([revision, 0]);
    for (let sub = 0; sub < 66_000; sub += 1) changes.push([70_101, sub]);
    const shuffled = changes.map((_, i) => changes[(i * 7919) % changes.length]!);
    const { versions, slots } = table(shuffled);
    const order = sortChanges(versions, slots, { compactRevision: 11, revision: 70_101 });
    expect(Array.from(order, (slot) => [versions.modRevision(slot), versions.sub(slot)])).toEqual(changes);
  });

  it.each([
    [
      "a whole revision",
      [
        [2, 0],
        [4, 0],
      ],
      4,
      "Change 0 of revision 3 is missing",
    ],
    ["the first revision", [[3, 0]], 3, "Change 0 of revision 2 is missing"],
    ["the last revision", [[2, 0]], 3, "Changes end at revision 2, the state's is 3"],
    ["the first change of a revision", [[2, 1]], 2, "Change 0 of revision 2 is missing"],
    [
      "a change in the middle",
      [
        [2, 0],
        [2, 2],
      ],
      2,
      "Change 1 of revision 2 is missing",
    ],
    ["everything", [], 2, "Changes end at revision 1, the state's is 2"],
  ] as const)("notices that %s is missing", (_name, changes, revision, message) => {
    const { versions, slots } = table(changes);
    const sort = (): unknown => sortChanges(versions, slots, { compactRevision: -1, revision });
    expect(sort).toThrow(CorruptPageError);
    expect(sort).toThrow(message);
  });
});
