import { describe, expect, test } from "vitest";
import { History } from "./history.ts";
import { isLinearizable, type RegisterCall } from "./linearizability.ts";

const write = (startedAt: number, endedAt: number, value: string | undefined): RegisterCall => ({
  startedAt,
  endedAt,
  operation: { type: "write", value },
});
const read = (startedAt: number, endedAt: number, value: string | undefined): RegisterCall => ({
  startedAt,
  endedAt,
  operation: { type: "read", value },
});

describe("the search for an order", () => {
  test.each<[string, boolean, RegisterCall[]]>([
    ["nothing at all", true, []],
    ["one after the other", true, [write(0, 1, "a"), read(2, 3, "a"), write(4, 5, undefined), read(6, 7, undefined)]],
    ["a read beside a write sees either", true, [write(0, 5, "a"), read(1, 2, undefined), read(3, 4, "a")]],
    ["an unknown write may have happened", true, [write(0, Infinity, "a"), read(1, 2, "a")]],
    ["an unknown write need not have happened", true, [write(0, Infinity, "a"), read(1, 2, undefined)]],
    [
      "an unknown write happens late",
      true,
      [write(0, Infinity, "a"), write(1, 2, "b"), read(3, 4, "b"), read(5, 6, "a")],
    ],
    ["a stale read", false, [write(0, 1, "a"), write(2, 3, "b"), read(4, 5, "a")]],
    ["a lost write", false, [write(0, 1, "a"), read(2, 3, undefined)]],
    ["a value from nowhere", false, [write(0, 1, "a"), read(2, 3, "x")]],
    ["two readers that disagree about the order", false, [write(0, 9, "a"), read(1, 2, "a"), read(3, 4, undefined)]],
    [
      "an unknown write that happens twice",
      false,
      [write(0, Infinity, "a"), read(1, 2, "a"), write(3, 4, "b"), read(5, 6, "b"), read(7, 8, "a")],
    ],
  ])("%s: %s", (_what, expected, calls) => {
    expect(isLinearizable(calls)).toBe(expected);
  });
});

describe("the check by revisions", () => {
  const put = (history: History, key: string, value: string) => history.begin({ type: "put", key, value });
  const get = (history: History, key: string) => history.begin({ type: "get", key });
  const one = { revision: 2, key: "k", value: "a" };

  test("takes a history that holds", () => {
    const history = new History();
    put(history, "k", "a")({ type: "ok", revision: 2 });
    get(history, "k")({ type: "ok", revision: 2, value: "a" });
    put(history, "k", "b")({ type: "unknown" });
    history.check([one]);
    history.check([one, { revision: 3, key: "k", value: "b" }]);
  });

  test("finds a lost write", () => {
    const history = new History();
    put(history, "k", "a")({ type: "ok", revision: 2 });
    expect(() => history.check([])).toThrow("Lost");
    expect(() => history.check([{ revision: 2, key: "k", value: "b" }])).toThrow("Lost");
  });

  test("finds a read that is older than what a client knew", () => {
    const history = new History();
    put(history, "k", "a")({ type: "ok", revision: 2 });
    const end = get(history, "k");
    expect(() => end({ type: "ok", revision: 1, value: undefined })).toThrow("Not linearizable");
  });

  test("finds a write at a revision that was known before it began", () => {
    const history = new History();
    put(history, "k", "a")({ type: "ok", revision: 2 });
    const end = put(history, "k", "b");
    expect(() => end({ type: "ok", revision: 2 })).toThrow("Not linearizable");
  });

  test("finds a wrong value", () => {
    const history = new History();
    get(history, "k")({ type: "ok", revision: 2, value: "b" });
    expect(() => history.check([one])).toThrow("Wrong read");
  });

  test("finds a write that happened though it was answered as failed", () => {
    const history = new History();
    put(history, "k", "a")({ type: "failed" });
    expect(() => history.check([one])).toThrow("Not failed");
  });

  test("finds a write that happened twice", () => {
    const history = new History();
    put(history, "k", "a")({ type: "ok", revision: 2 });
    expect(() => history.check([one, { ...one, revision: 3 }])).toThrow("Twice");
  });

  test("hands samples to the search", () => {
    const history = new History();
    put(history, "k", "a")({ type: "ok", revision: 2 });
    get(history, "k")({ type: "ok", revision: 2, value: undefined });
    expect(() => history.checkSamples(10)).toThrow("No order");
  });
});
