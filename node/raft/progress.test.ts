import { describe, expect, test } from "vitest";
import { Progress, Window } from "./progress.ts";

const LIMITS = { messagesMax: 3, bytesMax: 100 };

describe("the window of requests under way", () => {
  test("is full by messages, and frees what is answered", () => {
    const window = new Window(LIMITS);
    for (const last of [1, 2, 3]) window.add(last, 10);
    expect(window.full()).toBe(true);
    window.freeTo(2);
    expect([window.count, window.bytes, window.full()]).toEqual([1, 10, false]);
    // Around the end of the ring.
    for (const last of [4, 5]) window.add(last, 20);
    window.freeTo(4);
    expect([window.count, window.bytes]).toEqual([1, 20]);
    window.freeTo(9);
    expect([window.count, window.bytes]).toEqual([0, 0]);
  });

  test("is full by bytes", () => {
    const window = new Window(LIMITS);
    window.add(1, 100);
    expect(window.full()).toBe(true);
  });
});

describe("a refused append", () => {
  test.each([
    // state, match, next, rejected, hint, next afterwards (undefined: the refusal is late)
    ["replicate", 5, 10, 5, 5, undefined],
    ["replicate", 5, 10, 4, 4, undefined],
    ["replicate", 5, 10, 9, 9, 6],
    ["probe", 0, 10, 8, 8, undefined],
    ["probe", 0, 10, 9, 9, 9],
    ["probe", 0, 10, 9, 2, 3],
    ["probe", 0, 2, 1, 0, 1],
    ["probe", 4, 10, 9, 1, 5],
    ["snapshot", 0, 10, 9, 2, undefined],
  ] as const)("%s match %i next %i, refused %i with hint %i: next %s", (state, match, next, rejected, hint, wanted) => {
    const progress = new Progress(next, LIMITS);
    progress.match = match;
    progress.state = state;
    expect(progress.maybeDecrease(rejected, hint)).toBe(wanted !== undefined);
    expect(progress.next).toBe(wanted ?? next);
  });
});

test("an old acceptance moves nothing back", () => {
  const progress = new Progress(10, LIMITS);
  expect(progress.maybeUpdate(9)).toBe(true);
  expect(progress.maybeUpdate(4)).toBe(false);
  expect([progress.match, progress.next]).toEqual([9, 10]);
});
