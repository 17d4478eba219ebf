import { expect, test } from "vitest";
import { ReadRequests } from "./read-requests.ts";

function requests(): { reads: ReadRequests; answers: string[]; add: (name: string, deadline?: number) => void } {
  const reads = new ReadRequests(100);
  const answers: string[] = [];
  const add = (name: string, deadline = 1_000): void =>
    reads.add(deadline, (result) => answers.push(`${name} ${result.ok ? "ok" : result.error.code}`));
  return { reads, answers, add };
}

test("reads of a turn share one confirmation, and wait until its index is applied", () => {
  const { reads, answers, add } = requests();
  add("a");
  add("b");
  const context = reads.ask();
  add("c");
  reads.confirmed(context, 7);
  reads.applied(6);
  expect(answers).toEqual([]);
  reads.applied(7);
  expect(answers).toEqual(["a ok", "b ok"]);
  expect(reads.unresolved).toBe(1);
});

test("reads that lost their leader are asked again", () => {
  const { reads, answers, add } = requests();
  add("a");
  const lost = reads.ask();
  reads.failed(lost);
  expect(reads.collected).toBe(1);
  const again = reads.ask();
  expect(again).not.toBe(lost);
  reads.confirmed(lost, 1);
  reads.applied(5);
  expect(answers).toEqual([]);
  reads.confirmed(again, 5);
  reads.applied(5);
  expect(answers).toEqual(["a ok"]);
});

test("a read over its deadline has failed, wherever it is", () => {
  const { reads, answers, add } = requests();
  add("confirmed", 10);
  reads.confirmed(reads.ask(), 9);
  add("asked", 10);
  reads.ask();
  add("collected", 10);
  add("later", 20);
  reads.expire(10, false);
  expect(answers.sort()).toEqual([
    "asked CONCORD_NO_LEADER",
    "collected CONCORD_NO_LEADER",
    "confirmed CONCORD_NO_LEADER",
  ]);
  reads.stop();
  expect(answers.at(-1)).toBe("later CONCORD_STOPPED");
  expect(reads.unresolved).toBe(0);
});
