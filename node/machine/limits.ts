import { InvariantError, unreachable } from "./assert.ts";
import {
  type Bytes,
  type Command,
  type Compare,
  type Operation,
  type RangeOperation,
  type ReadOperation,
  type RefusedReason,
} from "./commands.ts";
import { isContentType } from "./content-type.ts";
import { LEASE_TTL_MAX_SECONDS } from "./leases.ts";
import { EMPTY as NO_END } from "./key-range.ts";
import { hasDuplicateKey } from "./txn-keys.ts";

/** Renewals in one command. */
export const LEASE_RENEWALS_MAX = 1_000;
/** Rows that end in one command. */
export const ROW_EXPIRIES_MAX = 500;
/** Longest time to live of a row, as that of a lease. */
export const ROW_TTL_MS_MAX = LEASE_TTL_MAX_SECONDS * 1000;

/** Sizes a command may have. */
export interface MachineLimits {
  /** Bytes of a key that is put. @default 1024 at the native doors */
  readonly keyBytesMax: number;
  /** @default 1.5 MiB */
  readonly valueBytesMax: number;
  /** Operations (or compares) of a txn, those of nested txns counted on top of the level above, as etcd counts. */
  readonly operationsMax: number;
  /** Txns inside txns; 1 is a txn without another one inside. */
  readonly nestingMax: number;
}

/**
 * What apply refuses. Configured limits may differ between members while they are being changed, and members that
 * judge an entry differently diverge for ever; so configured limits are checked before a command is proposed, and apply
 * checks these, which are the same everywhere. They change with the machine version only.
 */
export const LIMIT_CEILINGS: MachineLimits = {
  keyBytesMax: 16 * 1024 * 1024,
  valueBytesMax: 64 * 1024 * 1024,
  operationsMax: 4096,
  nestingMax: 16,
};

/** @throws InvariantError when a limit is no positive whole number, or above its ceiling. */
export function checkLimits(limits: MachineLimits): void {
  for (const name of ["keyBytesMax", "valueBytesMax", "operationsMax", "nestingMax"] as const) {
    const limit = limits[name];
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > LIMIT_CEILINGS[name])
      throw new InvariantError(`Limit ${name} is ${limit}, wanted 1 to ${LIMIT_CEILINGS[name]}`);
  }
}

/** Why a command has no valid shape, or undefined. Looks at the command alone, not at the state. */
export function checkCommand(command: Command, limits: MachineLimits): RefusedReason | undefined {
  switch (command.type) {
    case "put":
    case "range":
    case "delete":
    case "touch":
    case "txn":
      return checkOperation(command, limits, limits.operationsMax, 0);
    case "compact":
      return areWhole(command.revision) ? undefined : "numberInvalid";
    case "leaseGrant":
      return command.ttlSeconds > LEASE_TTL_MAX_SECONDS ? "leaseTtlTooLarge" : undefined;
    case "leaseKeepAlive":
      return command.ids.length > LEASE_RENEWALS_MAX ? "tooManyOperations" : undefined;
    case "expireRows":
      return command.rows.length > ROW_EXPIRIES_MAX ? "tooManyOperations" : undefined;
    case "found":
    case "publish":
    case "alarm":
    case "leaseRevoke":
    case "leaseExpire":
    case "leaseTimeToLive":
    case "advanceTime":
    case "raiseVersion":
      return undefined;
    default:
      return unreachable(command);
  }
}

/** Why a read has no valid shape, or undefined. */
export function checkRead(operation: ReadOperation, limits: MachineLimits): RefusedReason | undefined {
  if (operation.type === "history") {
    const { fromRevision, toRevision, limit } = operation;
    return areWhole(fromRevision, toRevision, limit) ? checkRangeKey(operation.key, NO_END, limits) : "numberInvalid";
  }
  return checkCommand(operation, limits);
}

function checkOperation(
  operation: Operation,
  limits: MachineLimits,
  operationsLeft: number,
  depth: number,
): RefusedReason | undefined {
  switch (operation.type) {
    case "put":
      if (operation.key.length === 0) return "keyEmpty";
      if (operation.key.length > limits.keyBytesMax) return "keyTooLong";
      if (operation.value.length > limits.valueBytesMax) return "valueTooLong";
      if (operation.ignoreValue && (operation.value.length > 0 || operation.contentType !== undefined))
        return "valueProvided";
      if (operation.contentType !== undefined && !isContentType(operation.contentType)) return "contentTypeInvalid";
      if (operation.ignoreLease && operation.lease !== 0n) return "leaseProvided";
      return (operation.ttlMs ?? 1) > ROW_TTL_MS_MAX ? "ttlTooLarge" : undefined;
    case "touch":
      if (operation.ttlMs > ROW_TTL_MS_MAX) return "ttlTooLarge";
      return checkRangeKey(operation.key, NO_END, limits);
    case "range":
      if (!areRangeNumbersWhole(operation)) return "numberInvalid";
      return checkRangeKey(operation.key, operation.rangeEnd, limits);
    case "delete":
      return checkRangeKey(operation.key, operation.rangeEnd, limits);
    case "txn":
      return checkTxn(operation, limits, operationsLeft, depth);
    default:
      return unreachable(operation);
  }
}

function checkTxn(
  txn: Extract<Operation, { type: "txn" }>,
  limits: MachineLimits,
  operationsLeft: number,
  depth: number,
): RefusedReason | undefined {
  if (depth >= limits.nestingMax) return "nestedTooDeep";
  const operations = Math.max(txn.compares.length, txn.success.length, txn.failure.length);
  if (operations > operationsLeft) return "tooManyOperations";
  for (const compare of txn.compares) {
    const reason = checkCompare(compare, limits);
    if (reason !== undefined) return reason;
  }
  for (const branch of [txn.success, txn.failure])
    for (const operation of branch) {
      const reason = checkOperation(operation, limits, operationsLeft - operations, depth + 1);
      if (reason !== undefined) return reason;
    }
  // Below the outermost txn the keys were compared with it.
  return depth === 0 && hasDuplicateKey(txn) ? "duplicateKey" : undefined;
}

function checkCompare(compare: Compare, limits: MachineLimits): RefusedReason | undefined {
  if (typeof compare.operand === "number" && !areWhole(compare.operand)) return "numberInvalid";
  if (compare.target === "value" && compare.operand.length > limits.valueBytesMax) return "valueTooLong";
  return checkRangeKey(compare.key, compare.rangeEnd, limits);
}

/** A bound of a range may be one byte longer than a key: "the key after k" is k and a zero byte. */
function checkRangeKey(key: Bytes, rangeEnd: Bytes, limits: MachineLimits): RefusedReason | undefined {
  if (key.length === 0) return "keyEmpty";
  if (key.length > limits.keyBytesMax + 1 || rangeEnd.length > limits.keyBytesMax + 1) return "keyTooLong";
  return undefined;
}

function areRangeNumbersWhole(range: RangeOperation): boolean {
  const { limit, revision, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = range;
  return areWhole(limit, revision, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision);
}

/** Entries have room for nothing else, and by then it is too late to refuse. */
function areWhole(...numbers: readonly number[]): boolean {
  return numbers.every((number) => Number.isSafeInteger(number));
}
