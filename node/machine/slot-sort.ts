import { type Budget, type Sliced } from "./budget.ts";

/** Runs up to this long are sorted in one go. */
const RUN_LENGTH = 512;

/**
 * Sorts slots in place and stably, in slices: short runs first, then merges of neighbours. The comparison must give the
 * same answer every time, which it does for versions under a pinned view.
 */
export function* sortSlots(
  slots: number[],
  compare: (left: number, right: number) => number,
  budget: Budget,
): Sliced<void> {
  let from = slots;
  for (let start = 0; start < from.length; start += RUN_LENGTH) {
    const run = from.slice(start, start + RUN_LENGTH).sort(compare);
    for (let i = 0; i < run.length; i += 1) from[start + i] = run[i] as number;
    if (budget.spend(run.length)) yield;
  }
  let to = new Array<number>(slots.length);
  for (let width = RUN_LENGTH; width < slots.length; width *= 2) {
    for (let start = 0; start < slots.length; start += 2 * width) {
      const middle = Math.min(start + width, slots.length);
      const end = Math.min(start + 2 * width, slots.length);
      let left = start;
      let right = middle;
      for (let at = start; at < end; at += 1) {
        const takeLeft = right >= end || (left < middle && compare(from[left] as number, from[right] as number) <= 0);
        to[at] = from[takeLeft ? left++ : right++] as number;
        if (budget.spend()) yield;
      }
    }
    [from, to] = [to, from];
  }
  if (from !== slots) for (let i = 0; i < slots.length; i += 1) slots[i] = from[i] as number;
}
