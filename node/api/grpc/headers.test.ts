import { describe, expect, test } from "vitest";
import { isGrpc, parseTimeout, trailersOf } from "./headers.ts";

test.each<[string | undefined, number | undefined]>([
  [undefined, Number.POSITIVE_INFINITY],
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["3S", 3000],
  ["4m", 4],
  ["5000u", 5],
  ["6000000n", 6],
  ["0m", 0],
  ["99999999H", 99_999_999 * 3_600_000],
  ["100000000S", undefined],
  ["1", undefined],
  ["S", undefined],
  ["-1S", undefined],
  ["1.5S", undefined],
  ["1 S", undefined],
  ["1s", undefined],
  ["1S, 2S", undefined],
  ["", undefined],
])("the timeout %j is %j ms", (value, expected) => {
  expect(parseTimeout(value)).toBe(expected);
});

test.each<[string | undefined, boolean]>([
  ["application/grpc", true],
  ["application/grpc+proto", true],
  ["application/grpc; charset=utf-8", true],
  ["application/grpc-web", false],
  ["application/json", false],
  [undefined, false],
])("the content type %j is gRPC's: %j", (type, expected) => {
  expect(isGrpc(type === undefined ? {} : { "content-type": type })).toBe(expected);
});

describe("the status in trailers", () => {
  test.each([
    ["plain text, with (signs)!", "plain text, with (signs)!"],
    ["100 %", "100 %25"],
    ["a\r\nb\0", "a%0D%0Ab%00"],
    ["näkymä 🌱", "n%C3%A4kym%C3%A4 %F0%9F%8C%B1"],
  ])("%j is sent as %j", (details, encoded) => {
    expect(trailersOf({ code: 3, details })).toEqual({ "grpc-status": "3", "grpc-message": encoded });
    expect(decodeURIComponent(encoded)).toBe(details);
  });

  test("is never longer than a client takes", () => {
    expect(String(trailersOf({ code: 3, details: "x".repeat(100_000) })["grpc-message"])).toHaveLength(2048);
  });
});
