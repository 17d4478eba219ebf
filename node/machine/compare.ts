import { unreachable } from "./assert.ts";
import { type Budget, type Sliced } from "./budget.ts";
import { type Compare, type CompareResult } from "./commands.ts";
import { isSingleKey } from "./key-range.ts";
import { rangeVersions } from "./range.ts";
import { type Store, type View } from "./store.ts";

/**
 * Whether a compare holds: for its key, or for every key that exists in its range. A key that is not there, or a range
 * without keys, has 0 for every number and no value at all: a compare of the value then never holds.
 */
export function* evaluateCompare(store: Store, view: View, compare: Compare, budget: Budget): Sliced<boolean> {
  if (isSingleKey(compare)) {
    if (budget.spend()) yield;
    return holds(store, store.find(view, compare.key), compare);
  }
  const versions = yield* rangeVersions(store, view, compare, budget);
  if (versions.length === 0) return holds(store, 0, compare);
  for (const version of versions) {
    if (!holds(store, version, compare)) return false;
    if (budget.spend()) yield;
  }
  return true;
}

function holds({ versions }: Store, version: number, compare: Compare): boolean {
  switch (compare.target) {
    case "value":
      return version !== 0 && ordered(versions.compareValue(version, compare.operand), compare.result);
    case "lease": {
      const lease = version === 0 ? 0n : versions.lease(version);
      return ordered(lease < compare.operand ? -1 : Number(lease > compare.operand), compare.result);
    }
    case "version":
      return ordered((version === 0 ? 0 : versions.version(version)) - compare.operand, compare.result);
    case "create":
      return ordered((version === 0 ? 0 : versions.createRevision(version)) - compare.operand, compare.result);
    case "mod":
      return ordered((version === 0 ? 0 : versions.modRevision(version)) - compare.operand, compare.result);
    default:
      return unreachable(compare);
  }
}

function ordered(order: number, result: CompareResult): boolean {
  switch (result) {
    case "equal":
      return order === 0;
    case "greater":
      return order > 0;
    case "less":
      return order < 0;
    case "notEqual":
      return order !== 0;
    default:
      return unreachable(result);
  }
}
