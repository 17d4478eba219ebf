import { expect, test } from "vitest";
import { prefixRange } from "./prefix-range.ts";

const range = (...prefix: number[]): number[][] => {
  const { key, rangeEnd } = prefixRange(Uint8Array.from(prefix));
  return [[...key], [...rangeEnd]];
};

test.each<[string, number[], number[], number[]]>([
  ["ends at the next byte", [97, 98], [97, 98], [97, 99]],
  ["carries over bytes that have no next one", [97, 0xff, 0xff], [97, 0xff, 0xff], [98]],
  ["of nothing but such bytes goes to the end", [0xff, 0xff], [0xff, 0xff], [0]],
  ["of nothing is every key", [], [0], [0]],
  ["of a zero byte is told from every key", [0], [0], [1]],
])("the range of a prefix %s", (_what, prefix, key, rangeEnd) => {
  expect(range(...prefix)).toEqual([key, rangeEnd]);
});

test("the prefix that was given stays as it is, a Buffer too", () => {
  const prefix = Buffer.from("ab");
  const { key, rangeEnd } = prefixRange(prefix);
  expect([prefix.toString(), Buffer.from(key).toString(), Buffer.from(rangeEnd).toString()]).toEqual([
    "ab",
    "ab",
    "ac",
  ]);
});
