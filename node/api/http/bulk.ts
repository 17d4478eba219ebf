import { ConcordError } from "../../client/errors.ts";
import { BulkDelete, BulkGet, BulkPut, BulkRows, BulkTouch, Deleted, Touched, Written } from "../../client/rest.ts";
import { type Operation as MachineOperation, type Reply } from "../../machine/commands.ts";
import { rangeOf } from "../../service/operations.ts";
import { type Exchange } from "./exchange.ts";
import {
  json,
  jsonBody,
  operation,
  type OperationGroup,
  PROBLEMS_OF_READS,
  PROBLEMS_OF_WRITES,
  READ_HEADERS,
} from "./operation.ts";
import { type ReadMode } from "./parameters.ts";
import { putItem, touchItem } from "./put-item.ts";
import { keyOf, NO_BYTES, rowJson } from "./row.ts";

const PROBLEMS_OF_KEYS = ["CONCORD_KEY_EMPTY", "CONCORD_TOO_MANY_OPERATIONS"] as const;
const PROBLEMS = [...PROBLEMS_OF_KEYS, "CONCORD_DUPLICATE_KEY", ...PROBLEMS_OF_WRITES] as const;

const put = operation({
  id: "putKeys",
  method: "POST",
  path: "/api/v1/bulk/put",
  summary: "Writes many keys",
  headers: ["Idempotency-Key"],
  body: jsonBody(BulkPut, "value"),
  answers: [json("Written", Written, ["Concord-Replayed"])],
  problems: ["CONCORD_LEASE_NOT_FOUND", ...PROBLEMS],
  async handle(exchange, { body }) {
    const { items } = await body();
    const { revision } = await carryOut(
      exchange,
      items.map((item, at) => putItem(`/items/${at}`, item)),
    );
    exchange.send({ revision } satisfies Written);
  },
});

const get = operation({
  id: "getKeys",
  method: "POST",
  path: "/api/v1/bulk/get",
  summary: "Rows of many keys, in the order of the keys; null for one that is not there",
  body: jsonBody(BulkGet, "value"),
  answers: [json("Rows", BulkRows, READ_HEADERS)],
  problems: [...PROBLEMS_OF_KEYS, ...PROBLEMS_OF_READS],
  async handle(exchange, { body }) {
    const { keys, consistency: level = "strong", ...options } = await body();
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
  },
});

const remove = operation({
  id: "deleteKeys",
  method: "POST",
  path: "/api/v1/bulk/delete",
  summary: "Deletes many keys; those that are not there are no error",
  headers: ["Idempotency-Key"],
  body: jsonBody(BulkDelete, "value"),
  answers: [json("Deleted", Deleted, ["Concord-Replayed"])],
  problems: PROBLEMS,
  async handle(exchange, { body }) {
    const { keys } = await body();
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
  },
});

const touch = operation({
  id: "touchKeys",
  method: "POST",
  path: "/api/v1/bulk/touch",
  summary: "Sets how long many rows live from now on",
  description: "Neither a revision nor an event comes of it.",
  headers: ["Idempotency-Key"],
  body: jsonBody(BulkTouch, "value"),
  answers: [json("Touched", Touched, ["Concord-Replayed"])],
  problems: PROBLEMS,
  async handle(exchange, { body }) {
    const { items } = await body();
    const { revision, replies } = await carryOut(
      exchange,
      items.map((item, at) => touchItem(`/items/${at}`, item)),
    );
    const touched = replies.filter((reply) => reply.type === "touch" && reply.touched).length;
    exchange.send({ revision, touched } satisfies Touched);
  },
});

/** Not below `/api/v1/kv/`, where everything is a key. */
export const BULK: OperationGroup = {
  name: "bulk",
  description: "Many keys in one txn, at one revision",
  operations: [put, get, remove, touch],
};

async function carryOut(
  exchange: Exchange,
  success: readonly MachineOperation[],
  { level, options }: ReadMode = { level: "strong", options: {} },
): Promise<{ readonly revision: number; readonly replies: readonly Reply[] }> {
  const txn = { type: "txn", compares: [], success, failure: [] } as const;
  const { kv } = exchange.services;
  const all = { ...options, ...exchange.writeOptions() };
  const { revision, reply } = exchange.read(exchange.written(await kv.txn(exchange.principal(), txn, level, all)));
  return { revision, replies: reply.replies };
}
