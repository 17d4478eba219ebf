import { expect, it } from "vitest";
import { strategicMerge } from "./merge.ts";

it.each([
  ["objects field by field", { a: { b: 1, c: 2 } }, { a: { c: 3 } }, { a: { b: 1, c: 3 } }],
  ["null away", { a: 1, b: 2 }, { a: null }, { b: 2 }],
  ["other lists as a whole", { command: ["a", "b"] }, { command: ["c"] }, { command: ["c"] }],
  [
    "named lists by name",
    { volumes: [{ name: "a", x: 1 }, { name: "b" }] },
    { volumes: [{ name: "a", y: 2 }, { name: "c" }] },
    { volumes: [{ name: "a", x: 1, y: 2 }, { name: "b" }, { name: "c" }] },
  ],
  [
    "items away by directive",
    { env: [{ name: "a" }, { name: "b" }] },
    { env: [{ name: "a", $patch: "delete" }] },
    { env: [{ name: "b" }] },
  ],
  ["objects as a whole by directive", { a: { b: 1 } }, { a: { $patch: "replace", c: 2 } }, { a: { c: 2 } }],
])("merges %s", (_, base, patch, merged) => {
  expect(strategicMerge(base, patch)).toEqual(merged);
});

it("leaves its arguments as they are", () => {
  const base = { containers: [{ name: "concord", image: "a" }] };
  strategicMerge(base, { containers: [{ name: "concord", image: "b" }] });
  expect(base).toEqual({ containers: [{ name: "concord", image: "a" }] });
});
