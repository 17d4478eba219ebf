import { type PutItem, type TouchItem } from "../../client/rest.ts";
import { type PutOperation, type TouchOperation } from "../../machine/commands.ts";
import { putOf } from "../../service/operations.ts";
import { badRequest } from "./exchange.ts";
import { leaseId } from "./parameters.ts";
import { bytesOf, keyOf } from "./row.ts";

const MS_PER_SECOND = 1000;

/** @param where - of the item in the body, for messages. */
export function putItem(where: string, item: PutItem & { readonly previous?: boolean }): PutOperation {
  const value = bytesOf(where, "value", item);
  if (value === undefined) throw badRequest(`${where}: expected value or valueText`);
  return putOf({
    key: keyOf(where, item),
    value,
    lease: item.lease === undefined ? 0n : leaseId(`${where}: lease`, item.lease),
    previous: item.previous === true,
    ...(item.contentType === undefined ? {} : { contentType: item.contentType }),
    ...(item.ttlSeconds === undefined ? {} : { ttlMs: MS_PER_SECOND * item.ttlSeconds }),
  });
}

/** @param where - of the item in the body, for messages. */
export function touchItem(where: string, item: TouchItem): TouchOperation {
  return { type: "touch", key: keyOf(where, item), ttlMs: MS_PER_SECOND * item.ttlSeconds };
}
