import { type PutItem } from "../../client/rest.ts";
import { type PutOperation } from "../../machine/commands.ts";
import { putOf } from "../../service/operations.ts";
import { badRequest } from "./exchange.ts";
import { leaseId } from "./parameters.ts";
import { bytesOf, keyOf } from "./row.ts";

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
