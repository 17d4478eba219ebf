import { expect, test } from "vitest";
import { RowEnds } from "./row-ends.ts";

test("ends are seen when the writer commits, in the order in which they come", () => {
  const ends = new RowEnds();
  ends.stage(700, 30);
  ends.stage(3, 10);
  ends.stage(4, 20);
  expect([ends.count, ends.get(3), ends.working(3)]).toEqual([0, 0, 10]);
  ends.commit();
  expect([ends.count, ends.get(3), ends.isStaging]).toEqual([3, 10, false]);
  expect(ends.due(25, 10)).toEqual([3, 4]);
  expect(ends.due(100, 2)).toEqual([3, 4]);
  // One goes, one comes later, one earlier.
  ends.set(3, 0);
  ends.set(4, 50);
  ends.set(700, 5);
  expect(ends.count).toBe(2);
  expect(ends.due(30, 10)).toEqual([700]);
  expect(ends.due(50, 10)).toEqual([700, 4]);
});

test("a frozen moment stays as it was", () => {
  const ends = new RowEnds();
  ends.set(1, 10);
  const frozen = ends.freeze();
  ends.set(1, 20);
  ends.set(2, 30);
  ends.set(5000, 30);
  expect([1, 2, 5000].map((slot) => frozen.get(slot))).toEqual([10, 0, 0]);
  expect([1, 2, 5000].map((slot) => ends.get(slot))).toEqual([20, 30, 30]);
});

test("ends that come and go leave a queue of bounded length", () => {
  const ends = new RowEnds();
  for (let slot = 1; slot <= 10; slot += 1) ends.set(slot, 1_000_000);
  for (let round = 1; round <= 1000; round += 1) {
    ends.set(20, round);
    ends.set(20, 0);
  }
  expect(ends.count).toBe(10);
  expect(ends.queued).toBeLessThan(100);
  expect(ends.due(999_999, 100)).toEqual([]);
  expect(ends.due(1_000_000, 100)).toHaveLength(10);
});
