import { ConcordError } from "../../client/errors.ts";
import {
  LIST_LIMIT_DEFAULT,
  TxnRequest,
  TxnAnswer,
  type TxnCompare,
  type TxnOperation,
  type TxnResult,
} from "../../client/rest.ts";
import {
  type Compare,
  type Operation as MachineOperation,
  type Reply,
  type TxnOperation as MachineTxn,
} from "../../machine/commands.ts";
import { rangeOf } from "../../service/operations.ts";
import { badRequest } from "./exchange.ts";
import {
  json,
  jsonBody,
  operation,
  type OperationGroup,
  PROBLEMS_OF_READS,
  PROBLEMS_OF_WRITES,
  READ_HEADERS,
} from "./operation.ts";
import { leaseId, READ_QUERY, readMode } from "./parameters.ts";
import { putItem, touchItem } from "./put-item.ts";
import { bytesOf, keyRangeOf, rowJson } from "./row.ts";

const carryOut = operation({
  id: "txn",
  method: "POST",
  path: "/api/v1/txn",
  summary: "Compares, and what to do when all of them hold and when not",
  description:
    "`success` is carried out when all compares hold, else `failure`; at one revision, whole or not at all. What is " +
    "compared with has the name of the target; `exists` is true or false, and only compared by `equal`. The results are " +
    "those of the branch that was carried out, in the order of its operations. A txn that cannot write is a read.",
  query: READ_QUERY,
  headers: ["Idempotency-Key"],
  body: jsonBody(TxnRequest, "value"),
  answers: [json("Carried out", TxnAnswer, ["Concord-Replayed", ...READ_HEADERS])],
  problems: [
    "CONCORD_KEY_EMPTY",
    "CONCORD_DUPLICATE_KEY",
    "CONCORD_TOO_MANY_OPERATIONS",
    "CONCORD_LEASE_NOT_FOUND",
    ...PROBLEMS_OF_READS,
    ...PROBLEMS_OF_WRITES,
  ],
  async handle(exchange, { query, body }) {
    const { level, options } = readMode(query);
    const request: TxnRequest = await body();
    const txn = txnOperation("", request);
    const { kv } = exchange.services;
    const all = { ...options, ...exchange.writeOptions() };
    const { revision, reply } = exchange.read(exchange.written(await kv.txn(exchange.principal(), txn, level, all)));
    exchange.send({ succeeded: reply.succeeded, revision, results: resultsOf(txn, reply) } satisfies TxnAnswer);
  },
});

export const TXN: OperationGroup = {
  name: "txn",
  description: "Many operations at once, under a condition",
  operations: [carryOut],
};

function txnOperation(where: string, request: TxnRequest): MachineTxn {
  const branch = (name: "success" | "failure"): readonly MachineOperation[] =>
    (request[name] ?? []).map((each, at) => operationOf(`${where}/${name}/${at}`, each));
  return {
    type: "txn",
    compares: (request.compare ?? []).map((each, at) => compareOf(`${where}/compare/${at}`, each)),
    success: branch("success"),
    failure: branch("failure"),
  };
}

/** The schema saw to it that it is exactly one of them. */
function operationOf(where: string, operation: TxnOperation): MachineOperation {
  const { put, get, delete: remove, touch, txn } = operation;
  if (put !== undefined) return putItem(`${where}/put`, put);
  if (touch !== undefined) return touchItem(`${where}/touch`, touch);
  if (txn !== undefined) return txnOperation(`${where}/txn`, txn);
  if (remove !== undefined) {
    return { type: "delete", ...keyRangeOf(`${where}/delete`, remove), previous: remove.previous === true };
  }
  if (get === undefined) throw badRequest(`${where}: expected put, get, delete, touch or txn`);
  const { revision = 0, limit = LIST_LIMIT_DEFAULT, keysOnly = false } = get;
  return rangeOf({ ...keyRangeOf(`${where}/get`, get), revision, limit, keysOnly });
}

const OPERANDS = ["version", "createRevision", "modRevision", "lease", "exists"] as const;
const NUMBER_TARGETS = { version: "version", createRevision: "create", modRevision: "mod" } as const;

function compareOf(where: string, compare: TxnCompare): Compare {
  const { target, result = "equal" } = compare;
  const value = bytesOf(where, "value", compare);
  for (const name of OPERANDS) {
    if (name !== target && compare[name] !== undefined) throw badRequest(`${where}: ${name} belongs to another target`);
  }
  if (value !== undefined && target !== "value") throw badRequest(`${where}: value belongs to another target`);
  const shared = { ...keyRangeOf(where, compare), result };
  switch (target) {
    case "value":
      return { ...shared, target, operand: value ?? missing(where, "value or valueText") };
    case "lease": {
      const lease = compare.lease ?? missing(where, target);
      // No lease is the id 0, which can be compared with although it can be none.
      return { ...shared, target, operand: /^0+$/.test(lease) ? 0n : leaseId(`${where}: lease`, lease) };
    }
    case "exists": {
      const exists = compare.exists ?? missing(where, target);
      if (result !== "equal") throw badRequest(`${where}: exists can only be compared by equal`);
      return { ...shared, target: "create", result: exists ? "greater" : "equal", operand: 0 };
    }
    default:
      return { ...shared, target: NUMBER_TARGETS[target], operand: compare[target] ?? missing(where, target) };
  }
}

function missing(where: string, name: string): never {
  throw badRequest(`${where}: expected ${name} to compare with`);
}

/** @param operation - that was answered: a reply does not tell whether values were asked for. */
function resultOf(operation: MachineOperation | undefined, reply: Reply): TxnResult {
  switch (reply.type) {
    case "put":
      return { put: reply.previous === undefined ? {} : { previous: rowJson(reply.previous, false) } };
    case "range": {
      const keysOnly = operation?.type === "range" && operation.keysOnly;
      return { get: { items: reply.rows.map((row) => rowJson(row, keysOnly)), count: reply.count, more: reply.more } };
    }
    case "delete":
      return { delete: { deleted: reply.deleted, previous: reply.previous.map((row) => rowJson(row, false)) } };
    case "touch":
      return { touch: { touched: reply.touched } };
    case "txn":
      return { txn: { succeeded: reply.succeeded, results: resultsOf(operation, reply) } };
    default:
      throw new ConcordError("CONCORD_INTERNAL", `A txn was answered with a ${reply.type}`);
  }
}

function resultsOf(
  operation: MachineOperation | undefined,
  reply: Extract<Reply, { type: "txn" }>,
): readonly TxnResult[] {
  const branch = operation?.type !== "txn" ? [] : reply.succeeded ? operation.success : operation.failure;
  return reply.replies.map((each, at) => resultOf(branch[at], each));
}
