import { type KeyRange } from "../wire/types.ts";

/** A range end that means "everything from the key on"; as the key itself, the first key there can be. */
const ZERO_BYTE = Uint8Array.of(0);

/** All keys that begin with the prefix, as a range; every key for an empty one. */
export function prefixRange(prefix: Uint8Array): KeyRange {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return { key: prefix.length === 0 ? ZERO_BYTE : prefix, rangeEnd: ZERO_BYTE };
  // A copy: the slice of a Buffer would share its bytes.
  const rangeEnd = Uint8Array.from(prefix.subarray(0, length));
  rangeEnd[length - 1] = (rangeEnd[length - 1] as number) + 1;
  return { key: prefix, rangeEnd };
}
