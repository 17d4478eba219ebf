import { ConcordError } from "../../client/errors.ts";
import {
  BulkDelete,
  BulkGet,
  BulkPut,
  type BulkRows,
  BulkTouch,
  type Deleted,
  type Touched,
  type Written,
} from "../../client/rest.ts";
import { type Operation, type Reply } from "../../machine/commands.ts";
import { rangeOf } from "../../service/operations.ts";
import { type Exchange } from "./exchange.ts";
import { type ReadMode } from "./parameters.ts";
import { putItem, touchItem } from "./put-item.ts";
import { keyOf, NO_BYTES, rowJson } from "./row.ts";

const PREFIX = "/api/v1/bulk/";

/** Not below `/api/v1/kv/`, where everything is a key. */
export function isBulkPath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** Many keys in one txn, at one revision; routes and bodies are described in client/rest.ts. */
export async function handleBulk(exchange: Exchange, limits: { readonly valueBytesMax: number }): Promise<void> {
  const action = ACTIONS.get(exchange.path.slice(PREFIX.length));
  if (action === undefined) throw exchange.noSuchRoute();
  exchange.allowMethods("POST");
  exchange.query();
  await action(exchange, limits.valueBytesMax);
}

async function put(exchange: Exchange, bytesMax: number): Promise<void> {
  const { items } = await exchange.json(BulkPut, bytesMax);
  const { revision } = await carryOut(
    exchange,
    items.map((item, at) => putItem(`/items/${at}`, item)),
  );
  exchange.send({ revision } satisfies Written);
}

async function get(exchange: Exchange, bytesMax: number): Promise<void> {
  const { keys, consistency: level = "strong", ...options } = await exchange.json(BulkGet, bytesMax);
  const operations = keys.map((fields, at) =>
    rangeOf({ key: keyOf(`/keys/${at}`, fields), rangeEnd: NO_BYTES, revision: 0 }),
  );
  const { revision, replies } = await carryOut(exchange, operations, { level, options });
  const items = replies.map((reply) => {
    if (reply.type !== "range") throw new ConcordError("CONCORD_INTERNAL", `A get was answered with a ${reply.type}`);
    const [row] = reply.rows;
    return row === undefined ? null : rowJson(row, false);
  });
  exchange.send({ revision, items } satisfies BulkRows);
}

async function remove(exchange: Exchange, bytesMax: number): Promise<void> {
  const { keys } = await exchange.json(BulkDelete, bytesMax);
  const { revision, replies } = await carryOut(
    exchange,
    keys.map((fields, at) => ({
      type: "delete",
      key: keyOf(`/keys/${at}`, fields),
      rangeEnd: NO_BYTES,
      previous: false,
    })),
  );
  const deleted = replies.reduce((sum, reply) => sum + (reply.type === "delete" ? reply.deleted : 0), 0);
  exchange.send({ revision, deleted } satisfies Deleted);
}

async function touch(exchange: Exchange, bytesMax: number): Promise<void> {
  const { items } = await exchange.json(BulkTouch, bytesMax);
  const { revision, replies } = await carryOut(
    exchange,
    items.map((item, at) => touchItem(`/items/${at}`, item)),
  );
  const touched = replies.filter((reply) => reply.type === "touch" && reply.touched).length;
  exchange.send({ revision, touched } satisfies Touched);
}

const ACTIONS: ReadonlyMap<string, (exchange: Exchange, bytesMax: number) => Promise<void>> = new Map([
  ["put", put],
  ["get", get],
  ["delete", remove],
  ["touch", touch],
]);

async function carryOut(
  exchange: Exchange,
  success: readonly Operation[],
  { level, options }: ReadMode = { level: "strong", options: {} },
): Promise<{ readonly revision: number; readonly replies: readonly Reply[] }> {
  const txn = { type: "txn", compares: [], success, failure: [] } as const;
  const { kv } = exchange.services;
  const all = { ...options, ...exchange.writeOptions() };
  const { revision, reply } = exchange.read(exchange.written(await kv.txn(exchange.principal(), txn, level, all)));
  return { revision, replies: reply.replies };
}
