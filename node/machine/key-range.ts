import { type Bytes, type KeyRange } from "./commands.ts";

/** Compares raw bytes; a prefix comes before what it begins. Negative, zero or positive. */
export function compareBytes(a: Bytes, b: Bytes): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export const EMPTY: Bytes = new Uint8Array(0);

/** `rangeEnd` that means "everything from the key on": one zero byte. */
export function isOpenEnd(rangeEnd: Bytes): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0;
}

/** Whether the range names one key, rather than an interval. */
export function isSingleKey(range: KeyRange): boolean {
  return range.rangeEnd.length === 0;
}

/** Whether `key` lies in the range. */
export function rangeContains(range: KeyRange, key: Bytes): boolean {
  const order = compareBytes(key, range.key);
  if (isSingleKey(range)) return order === 0;
  return order >= 0 && (isOpenEnd(range.rangeEnd) || compareBytes(key, range.rangeEnd) < 0);
}
