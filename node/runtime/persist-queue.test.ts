import { expect, test } from "vitest";
import { PersistQueue } from "./persist-queue.ts";

test("a ready without anything to write waits for those before it", () => {
  const order: number[] = [];
  const queue = new PersistQueue();
  const first = queue.writing(1, () => order.push(1));
  queue.nothing(2, () => order.push(2));
  const third = queue.writing(3, () => order.push(3));
  expect(order).toEqual([]);
  third();
  expect(order).toEqual([]);
  first();
  expect(order).toEqual([1, 2, 3]);
  queue.nothing(4, () => order.push(4));
  expect(order).toEqual([1, 2, 3, 4]);
  expect(queue.length).toBe(0);
});
