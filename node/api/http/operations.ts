import { type PutItem } from "../../client/rest.ts";
import { type PutOperation, type RangeOperation } from "../../machine/commands.ts";
import { badRequest } from "./exchange.ts";
import { leaseId } from "./parameters.ts";
import { bytesOf, keyOf } from "./row.ts";

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
  options: Pick<PutOperation, "key" | "value" | "lease"> & { readonly previous?: boolean },
): PutOperation {
  return { type: "put", previous: false, ignoreValue: false, ignoreLease: false, ...options };
}

/** @param where - of the item in the body, for messages. */
export function putItem(where: string, item: PutItem & { readonly previous?: boolean }): PutOperation {
  const value = bytesOf(where, "value", item);
  if (value === undefined) throw badRequest(`${where}: expected value or valueText`);
  return putOf({
    key: keyOf(where, item),
    value,
    lease: item.lease === undefined ? 0n : leaseId(`${where}: lease`, item.lease),
    previous: item.previous === true,
  });
}
