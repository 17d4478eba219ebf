import { type PutOperation, type RangeOperation } from "../machine/commands.ts";

/** A range of which only what is named differs from the plainest one. */
export function rangeOf(
  options: Pick<RangeOperation, "key" | "rangeEnd" | "revision"> & Partial<RangeOperation>,
): RangeOperation {
  return {
    type: "range",
    limit: 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...options,
  };
}

export function putOf(
  options: Pick<PutOperation, "key" | "value" | "lease" | "ttlMs" | "contentType"> & { readonly previous?: boolean },
): PutOperation {
  return { type: "put", previous: false, ignoreValue: false, ignoreLease: false, ...options };
}
