import { ConcordError, ERROR_TABLE, type ErrorCode } from "../../client/errors.ts";
import { STATUS, type GrpcStatus } from "../grpc/status.ts";

/** etcd's clients recognise errors by code and whole text, so a text of etcd's table is sent as it is there. */
const PREFIX = "etcdserver: ";

/** Codes whose own, more exact message is worth more to a person than the table's text is to a program. */
const WITH_OWN_MESSAGE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "CONCORD_INVALID_ARGUMENT",
  "CONCORD_UNIMPLEMENTED",
  "CONCORD_NOT_FOUND",
  "CONCORD_PEER_NOT_EMPTY",
  "CONCORD_PEER_UNREACHABLE",
]);

/** etcd has a text of its own for each of these reasons of an unknown outcome. */
const UNKNOWN_OUTCOME_TEXTS: ReadonlySet<string> = new Set([
  "request timed out, possibly due to previous leader failure",
  "request timed out, possibly due to connection lost",
]);

/** etcd's election package is none of the server's, and its texts say so. */
const WITHOUT_PREFIX: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "CONCORD_ELECTION_KEY_MISSING",
  "CONCORD_ELECTION_NO_LEADER",
  "CONCORD_ELECTION_NOT_LEADER",
]);

/** The gRPC status of any failure. What is not a ConcordError is a bug: its text stays inside. */
export function grpcStatus(error: unknown): GrpcStatus {
  if (!ConcordError.is(error)) return { code: STATUS.internal, details: PREFIX + ERROR_TABLE.CONCORD_INTERNAL.message };
  const row = ERROR_TABLE[error.code];
  const own =
    WITH_OWN_MESSAGE.has(error.code) || (row.outcome === "unknown" && UNKNOWN_OUTCOME_TEXTS.has(error.message));
  const text = own ? error.message : row.message;
  return { code: row.grpc, details: WITHOUT_PREFIX.has(error.code) ? text : PREFIX + text };
}
