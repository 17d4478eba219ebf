import { ConcordError, type ErrorCode } from "../client/errors.ts";
import { type Outcome, type ReadReply, type RefusedReason } from "../machine/commands.ts";
import { type ReadResult } from "../machine/machine.ts";
import { type Freshness, type ReadAnswer } from "../runtime/node-api.ts";

/** What the doors call a refusal of the state machine. */
const CODE_OF_REASON: Readonly<Record<RefusedReason, ErrorCode>> = {
  keyEmpty: "CONCORD_KEY_EMPTY",
  keyTooLong: "CONCORD_REQUEST_TOO_LARGE",
  valueTooLong: "CONCORD_REQUEST_TOO_LARGE",
  tooManyOperations: "CONCORD_TOO_MANY_OPERATIONS",
  nestedTooDeep: "CONCORD_TOO_MANY_OPERATIONS",
  duplicateKey: "CONCORD_DUPLICATE_KEY",
  keyNotFound: "CONCORD_KEY_NOT_FOUND",
  leaseNotFound: "CONCORD_LEASE_NOT_FOUND",
  leaseProvided: "CONCORD_LEASE_PROVIDED",
  valueProvided: "CONCORD_VALUE_PROVIDED",
  contentTypeInvalid: "CONCORD_INVALID_ARGUMENT",
  numberInvalid: "CONCORD_INVALID_ARGUMENT",
  compacted: "CONCORD_COMPACTED",
  futureRevision: "CONCORD_FUTURE_REVISION",
  noSpace: "CONCORD_NO_SPACE",
  founding: "CONCORD_FOUNDING",
  notFounded: "CONCORD_WAITING",
  alreadyFounded: "CONCORD_ALREADY_FOUNDED",
  unknownMember: "CONCORD_MEMBER_NOT_FOUND",
  unknownVersion: "CONCORD_INVALID_ARGUMENT",
  leaseExists: "CONCORD_LEASE_EXISTS",
  leaseTtlTooLarge: "CONCORD_LEASE_TTL_TOO_LARGE",
  ttlTooLarge: "CONCORD_TTL_TOO_LARGE",
  tooManyLeases: "CONCORD_TOO_MANY_LEASES",
  idempotencyConflict: "CONCORD_IDEMPOTENCY_CONFLICT",
  tooManyRecords: "CONCORD_IDEMPOTENCY_FULL",
};

export interface Answer<T extends ReadReply["type"]> {
  /** Revision of the store after the operation, or that a read was made at. */
  readonly revision: number;
  readonly reply: Extract<ReadReply, { readonly type: T }>;
  /** A write with this idempotency key was applied before, at `revision`. */
  readonly replayed: boolean;
  /** Of a read. */
  readonly freshness: Freshness | undefined;
}

/**
 * The reply of the expected type.
 *
 * @throws ConcordError for a refusal, with `revision` and `compactRevision` in its details.
 */
export function answerOf<T extends ReadReply["type"]>(result: Outcome | ReadResult | ReadAnswer, type: T): Answer<T> {
  if (!result.ok) {
    const { revision, compactRevision } = result;
    throw new ConcordError(CODE_OF_REASON[result.reason], undefined, { details: { revision, compactRevision } });
  }
  if (!isReply(result.reply, type)) {
    throw new ConcordError("CONCORD_INTERNAL", `The reply to a ${type} is a ${result.reply.type}`);
  }
  const freshness = "freshness" in result ? result.freshness : undefined;
  return { revision: result.revision, reply: result.reply, replayed: "replayed" in result, freshness };
}

function isReply<T extends ReadReply["type"]>(
  reply: ReadReply,
  type: T,
): reply is Extract<ReadReply, { readonly type: T }> {
  return reply.type === type;
}
