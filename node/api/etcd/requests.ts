import { ConcordError } from "../../client/errors.ts";
import {
  type Compare,
  type CompareResult,
  type DeleteOperation,
  type Operation,
  type PutOperation,
  type RangeOperation,
  type SortOrder,
  type SortTarget,
  type TxnOperation,
} from "../../machine/commands.ts";
import { type WatchRequest } from "../../runtime/node-api.ts";
import {
  type CompareRequest,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
  type WatchCreateRequest,
} from "./messages.ts";

/** The state machine's own limit is 16: this one only keeps the conversion from following a hostile message down. */
const NESTING_MAX = 32;

const SORT_ORDERS: Readonly<Record<string, SortOrder>> = { NONE: "none", ASCEND: "ascend", DESCEND: "descend" };
const SORT_TARGETS: Readonly<Record<string, SortTarget>> = {
  KEY: "key",
  VERSION: "version",
  CREATE: "create",
  MOD: "mod",
  VALUE: "value",
};
const COMPARE_RESULTS: Readonly<Record<string, CompareResult>> = {
  EQUAL: "equal",
  GREATER: "greater",
  LESS: "less",
  NOT_EQUAL: "notEqual",
};
const ZERO_BYTE = new Uint8Array(1);

/** @throws ConcordError `CONCORD_INVALID_SORT_OPTION` for an order or target that etcd does not know. */
export function rangeOperation(request: RangeRequest): RangeOperation {
  const sortOrder = SORT_ORDERS[request.sort_order];
  const sortTarget = SORT_TARGETS[request.sort_target];
  if (sortOrder === undefined || sortTarget === undefined) throw new ConcordError("CONCORD_INVALID_SORT_OPTION");
  return {
    type: "range",
    key: request.key,
    rangeEnd: request.range_end,
    limit: natural(request.limit),
    revision: natural(request.revision),
    sortTarget,
    sortOrder,
    keysOnly: request.keys_only,
    countOnly: request.count_only,
    minModRevision: natural(request.min_mod_revision),
    maxModRevision: natural(request.max_mod_revision),
    minCreateRevision: natural(request.min_create_revision),
    maxCreateRevision: natural(request.max_create_revision),
  };
}

export function putOperation(request: PutRequest): PutOperation {
  return {
    type: "put",
    key: request.key,
    value: request.value,
    lease: BigInt(request.lease),
    previous: request.prev_kv,
    ignoreValue: request.ignore_value,
    ignoreLease: request.ignore_lease,
  };
}

export function deleteOperation(request: DeleteRangeRequest): DeleteOperation {
  return { type: "delete", key: request.key, rangeEnd: request.range_end, previous: request.prev_kv };
}

/** @throws ConcordError `CONCORD_TOO_MANY_OPERATIONS`, `CONCORD_KEY_NOT_FOUND` (an operation without content, as in etcd). */
export function txnOperation(request: TxnRequest, operationsMax: number, depth = 0): TxnOperation {
  // The state machine takes more: this is what etcd's clients may send, nested txns counted on top of the level above.
  const left = operationsMax - Math.max(request.compare.length, request.success.length, request.failure.length);
  if (depth > NESTING_MAX || left < 0) throw new ConcordError("CONCORD_TOO_MANY_OPERATIONS");
  return {
    type: "txn",
    compares: request.compare.map(compareOf),
    success: request.success.map((each) => operationOf(each, left, depth)),
    failure: request.failure.map((each) => operationOf(each, left, depth)),
  };
}

/** Whether every read of a txn asked to be answered from here. */
export function isSerializable(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every((each) => {
    if (each.request === "request_range") return each.request_range.serializable;
    return each.request === "request_txn" && isSerializable(each.request_txn);
  });
}

function operationOf(request: RequestOp, operationsMax: number, depth: number): Operation {
  switch (request.request) {
    case "request_range":
      return rangeOperation(request.request_range);
    case "request_put":
      return putOperation(request.request_put);
    case "request_delete_range":
      return deleteOperation(request.request_delete_range);
    case "request_txn":
      return txnOperation(request.request_txn, operationsMax, depth + 1);
    case undefined:
      throw new ConcordError("CONCORD_KEY_NOT_FOUND");
  }
}

function compareOf(request: CompareRequest): Compare {
  const result = COMPARE_RESULTS[request.result];
  if (result === undefined) {
    throw new ConcordError("CONCORD_INVALID_ARGUMENT", `Unknown result ${request.result} of a compare`);
  }
  const shared = { key: request.key, rangeEnd: request.range_end, result };
  // An operand that is absent, or belongs to another target, counts as zero: that is what etcd's getters give.
  switch (request.target) {
    case "VERSION":
      return { ...shared, target: "version", operand: whole(request.version ?? "0") };
    case "CREATE":
      return { ...shared, target: "create", operand: whole(request.create_revision ?? "0") };
    case "MOD":
      return { ...shared, target: "mod", operand: whole(request.mod_revision ?? "0") };
    case "VALUE":
      return { ...shared, target: "value", operand: request.value ?? new Uint8Array(0) };
    case "LEASE":
      return { ...shared, target: "lease", operand: BigInt(request.lease ?? 0) };
    default:
      throw new ConcordError("CONCORD_INVALID_ARGUMENT", `Unknown target ${request.target} of a compare`);
  }
}

/** An empty key means the smallest one. */
export function watchRequest(request: WatchCreateRequest): WatchRequest {
  return {
    key: request.key.length === 0 ? ZERO_BYTE : request.key,
    rangeEnd: request.range_end,
    startRevision: natural(request.start_revision),
    previous: request.prev_kv,
    filterPut: request.filters.includes("NOPUT"),
    filterDelete: request.filters.includes("NODELETE"),
  };
}

/** Numbers below zero mean the same as zero: not set. Those beyond 2^53 cannot be told from 2^53, which no revision reaches. */
export function natural(text: string): number {
  return Math.max(whole(text), 0);
}

/** As `natural`, below zero too: what is compared with revisions and versions is told apart from all of them alike. */
function whole(text: string): number {
  return Math.min(Math.max(Number(text), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

/** A time to live. Zero and below become the shortest one, those beyond the longest are refused. */
export function leaseSeconds(text: string): number {
  return natural(text);
}

/** Decimal uint64 of the wire to 16 hex digits; "0" to the empty id. */
export function hexId(decimal: string): string {
  return decimal === "0" || decimal === "" ? "" : BigInt.asUintN(64, BigInt(decimal)).toString(16).padStart(16, "0");
}
