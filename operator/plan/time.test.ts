import { expect, it } from "vitest";
import { formatTime, parseTime } from "./time.ts";

it("agrees with the platform's calendar, leap days and centuries included", () => {
  const days = ["1970-01-01", "1999-12-31", "2000-02-29", "2000-03-01", "2026-11-25", "2028-02-29", "2100-03-01"];
  for (const day of days) {
    const text = `${day}T23:59:58Z`;
    expect(parseTime(text)).toBe(Date.parse(text));
    expect(formatTime(Date.parse(text))).toBe(text);
  }
});

it("drops fractions of a second and refuses other forms", () => {
  expect(parseTime("2026-01-01T00:00:00.999999Z")).toBe(Date.parse("2026-01-01T00:00:00Z"));
  expect(parseTime("2026-01-01T00:00:00+01:00")).toBeUndefined();
  expect(parseTime("")).toBeUndefined();
});
