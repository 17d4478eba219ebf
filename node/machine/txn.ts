import { unreachable } from "./assert.ts";
import { type Budget, type Sliced } from "./budget.ts";
import { evaluateCompare } from "./compare.ts";
import {
  type DeleteOperation,
  type KeyValue,
  type Operation,
  type PutOperation,
  type RangeOperation,
  type RefusedReason,
  type Reply,
  type TouchOperation,
  type TxnOperation,
} from "./commands.ts";
import { contentTypeBytes } from "./content-type.ts";
import { readRange, rangeVersions } from "./range.ts";
import { STAMP_GRAIN_MS, type Store, type View } from "./store.ts";

/** Which revisions can be read. */
export interface RevisionBounds {
  readonly revision: number;
  readonly compactRevision: number;
}

/** Gives the state at a revision; 0 is the newest. */
export interface Views {
  viewAt(revision: number): View;
}

type SingleOperation = PutOperation | RangeOperation | DeleteOperation | TouchOperation;

/** A txn with its branches chosen; `nested` are the plans of the txns among `operations`, in their order. */
export interface Plan {
  readonly succeeded: boolean;
  readonly operations: readonly Operation[];
  readonly nested: readonly Plan[];
}

/** One operation is one revision, or none when it changes nothing. @returns why it cannot be done, or its reply. */
export function* operate(store: Store, operation: Operation, budget: Budget): Sliced<Reply | RefusedReason> {
  if (operation.type === "txn") {
    const plan = yield* planTxn(store, store.committed, operation, budget);
    const refused = checkPlan(store, store, plan);
    if (refused !== undefined) return refused;
    store.begin();
    const reply = yield* applyPlan(store, store, plan, budget);
    store.commit();
    return reply;
  }
  const refused = checkApplicable(store, store, operation);
  if (refused !== undefined) return refused;
  store.begin();
  const reply =
    operation.type === "put" ? applyPut(store, operation) : yield* applyOperation(store, store, operation, budget);
  store.commit();
  return reply;
}

function endAfter({ nowMs }: Store, ttlMs: number): number {
  return nowMs + STAMP_GRAIN_MS + ttlMs;
}

/** Evaluates all compares, those of nested txns included, on the state before the txn. */
export function* planTxn(store: Store, view: View, txn: TxnOperation, budget: Budget): Sliced<Plan> {
  let succeeded = true;
  for (const compare of txn.compares)
    if (!(yield* evaluateCompare(store, view, compare, budget))) {
      succeeded = false;
      break;
    }
  const operations = succeeded ? txn.success : txn.failure;
  const nested: Plan[] = [];
  for (const operation of operations)
    if (operation.type === "txn") nested.push(yield* planTxn(store, view, operation, budget));
  return { succeeded, operations, nested };
}

/** Why an operation on the chosen way cannot be done, or undefined. Asked before anything is applied. */
export function checkPlan(store: Store, bounds: RevisionBounds, plan: Plan): RefusedReason | undefined {
  let nested = 0;
  for (const operation of plan.operations) {
    const reason =
      operation.type === "txn"
        ? checkPlan(store, bounds, plan.nested[nested++] as Plan)
        : checkApplicable(store, bounds, operation);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** Why an operation cannot be done in the present state, or undefined. */
export function checkApplicable(
  store: Store,
  bounds: RevisionBounds,
  operation: SingleOperation,
): RefusedReason | undefined {
  switch (operation.type) {
    case "put":
      if ((operation.ignoreValue || operation.ignoreLease) && store.find(store.committed, operation.key) === 0)
        return "keyNotFound";
      return operation.lease === 0n || store.leases.has(operation.lease) ? undefined : "leaseNotFound";
    case "range":
      return checkRevision(bounds, operation.revision);
    case "delete":
    case "touch":
      return undefined;
    default:
      return unreachable(operation);
  }
}

/** Why nothing can be read at `revision`, or undefined. 0 and below: the current revision. */
export function checkRevision(bounds: RevisionBounds, revision: number): "futureRevision" | "compacted" | undefined {
  if (revision <= 0) return undefined;
  if (revision > bounds.revision) return "futureRevision";
  return revision < bounds.compactRevision ? "compacted" : undefined;
}

/** Does what was planned; with the store itself as `views`, reads see the writes before them. */
export function* applyPlan(store: Store, views: Views, plan: Plan, budget: Budget): Sliced<Reply> {
  const replies: Reply[] = [];
  let nested = 0;
  for (const operation of plan.operations)
    if (operation.type === "txn") replies.push(yield* applyPlan(store, views, plan.nested[nested++] as Plan, budget));
    else replies.push(yield* applyOperation(store, views, operation, budget));
  return { type: "txn", succeeded: plan.succeeded, replies };
}

export function* applyOperation(store: Store, views: Views, operation: SingleOperation, budget: Budget): Sliced<Reply> {
  switch (operation.type) {
    case "put": {
      const reply = applyPut(store, operation);
      if (budget.spendBytes(operation.value.length)) yield;
      return reply;
    }
    case "range":
      return yield* readRange(store, views.viewAt(operation.revision), operation, budget);
    case "delete":
      return yield* applyDelete(store, operation, budget);
    case "touch": {
      const touched = store.touch(operation.key, operation.ttlMs === 0 ? 0 : endAfter(store, operation.ttlMs));
      return { type: "touch", touched };
    }
    default:
      return unreachable(operation);
  }
}

export function applyPut(store: Store, put: PutOperation): Reply {
  let { value, lease } = put;
  let contentType = contentTypeBytes(put.contentType);
  if (put.ignoreValue || put.ignoreLease) {
    const version = store.find(store.working, put.key);
    if (put.ignoreValue) {
      value = store.versions.value(version);
      contentType = store.versions.contentType(version);
    }
    if (put.ignoreLease) lease = store.versions.lease(version);
  }
  const endMs = put.ttlMs === undefined ? 0 : endAfter(store, put.ttlMs);
  const before = store.put(put.key, value, lease, endMs, contentType);
  return { type: "put", previous: put.previous && before !== 0 ? store.row(before) : undefined };
}

/** Deletes in key order. The keys are collected first, because every delete changes the tree. */
function* applyDelete(store: Store, operation: DeleteOperation, budget: Budget): Sliced<Reply> {
  const versions = yield* rangeVersions(store, store.working, operation, budget);
  const previous: KeyValue[] = [];
  for (const version of versions) {
    if (operation.previous) previous.push(store.row(version));
    store.remove(store.keys.read(store.versions.key(version)));
    if (budget.spendBytes(operation.previous ? store.versions.valueLength(version) : 0)) yield;
  }
  return { type: "delete", deleted: versions.length, previous };
}
