/** One row of the error table: what a code means on every door. */
export interface ErrorRow {
  readonly message: string;
  /** HTTP status of the REST and admin doors. */
  readonly http: number;
  /** gRPC status code of the etcd door (google.rpc.Code). */
  readonly grpc: number;
  /** Whether the same request may succeed later, unchanged. */
  readonly retryable: boolean;
  /** Whether the write may have happened. Only then is a blind retry unsafe. */
  readonly outcome: "failed" | "unknown";
}

const failed = (message: string, http: number, grpc: number, retryable = false): ErrorRow => ({
  message,
  http,
  grpc,
  retryable,
  outcome: "failed",
});

/** All error codes of Concord. The text of a row is the etcd door's text where etcd has one (api/v3rpc/rpctypes). */
export const ERROR_TABLE = {
  CONCORD_KEY_EMPTY: failed("key is not provided", 400, 3),
  CONCORD_KEY_NOT_FOUND: failed("key not found", 404, 3),
  CONCORD_VALUE_PROVIDED: failed("value is provided", 400, 3),
  CONCORD_LEASE_PROVIDED: failed("lease is provided", 400, 3),
  CONCORD_TOO_MANY_OPERATIONS: failed("too many operations in txn request", 400, 3),
  CONCORD_DUPLICATE_KEY: failed("duplicate key given in txn request", 400, 3),
  CONCORD_INVALID_SORT_OPTION: failed("invalid sort option", 400, 3),
  CONCORD_COMPACTED: failed("mvcc: required revision has been compacted", 410, 11),
  CONCORD_FUTURE_REVISION: failed("mvcc: required revision is a future revision", 400, 11),
  CONCORD_NO_SPACE: failed("mvcc: database space exceeded", 507, 8),
  CONCORD_LEASE_NOT_FOUND: failed("requested lease not found", 404, 5),
  CONCORD_LEASE_EXISTS: failed("lease already exists", 409, 9),
  CONCORD_LEASE_TTL_TOO_LARGE: failed("too large lease TTL", 400, 11),
  CONCORD_TTL_TOO_LARGE: failed("the time to live is too large", 400, 3),
  CONCORD_IDEMPOTENCY_CONFLICT: failed("another request had the same idempotency key", 409, 9),
  CONCORD_IDEMPOTENCY_FULL: failed("no room for another idempotency key", 507, 8, true),
  CONCORD_TOO_MANY_LEASES: failed("too many leases", 429, 8),
  CONCORD_LOCK_HELD: failed("the lock is held by another", 409, 9, true),
  CONCORD_ELECTION_NO_LEADER: failed("election: no leader", 404, 2),
  CONCORD_ELECTION_NOT_LEADER: failed("election: not leader", 409, 2),
  CONCORD_ELECTION_KEY_MISSING: failed('"leader" field must be provided', 400, 2),
  CONCORD_REQUEST_TOO_LARGE: failed("request is too large", 413, 3),
  CONCORD_TOO_MANY_REQUESTS: failed("too many requests", 429, 8, true),
  CONCORD_NO_LEADER: failed("no leader", 503, 14, true),
  CONCORD_NOT_LEADER: failed("not leader", 503, 9, true),
  CONCORD_LEADER_CHANGED: failed("leader changed", 503, 14, true),
  CONCORD_FOUNDING: failed("the cluster is being founded: not every founding member votes yet", 503, 14, true),
  CONCORD_WAITING: failed("this member belongs to no cluster yet", 503, 14, true),
  CONCORD_STOPPED: failed("server stopped", 503, 14, true),
  CONCORD_UNHEALTHY: failed("unhealthy cluster", 503, 14, true),
  /** A read, or a write that was certainly not proposed, ran out of time. */
  CONCORD_TIMEOUT: failed("request timed out", 504, 14, true),
  /** A write was proposed and its fate is not known. */
  CONCORD_OUTCOME_UNKNOWN: { message: "request timed out", http: 504, grpc: 14, retryable: false, outcome: "unknown" },
  CONCORD_CANCELLED: failed("request cancelled", 499, 1),
  CONCORD_MEMBER_NOT_FOUND: failed("member not found", 404, 5),
  CONCORD_MEMBER_EXISTS: failed("member ID already exist", 409, 9),
  CONCORD_MEMBER_NOT_LEARNER: failed("can only promote a learner member", 409, 9),
  CONCORD_LEARNER_NOT_READY: failed("can only promote a learner member which is in sync with leader", 409, 9, true),
  CONCORD_LEARNER_UNSUPPORTED: failed("rpc not supported for learner", 503, 14, true),
  CONCORD_CHANGE_IN_PROGRESS: failed("another membership change is in progress", 409, 9, true),
  CONCORD_WOULD_LOSE_QUORUM: failed("re-configuration failed due to not enough started members", 409, 9, true),
  CONCORD_TRANSFER_FAILED: failed("leadership was not transferred in time", 504, 14, true),
  CONCORD_BAD_LEADER_TRANSFEREE: failed("bad leader transferee", 409, 9),
  CONCORD_MEMBER_URLS_INVALID: failed("given member URLs are invalid", 400, 3),
  CONCORD_PEER_URL_EXISTS: failed("Peer URLs already exists", 409, 9),
  CONCORD_DOWNGRADE_VERSION_FORMAT: failed("wrong downgrade target version format", 400, 3),
  CONCORD_DOWNGRADE_TARGET_INVALID: failed("invalid downgrade target version", 400, 3),
  CONCORD_ALREADY_FOUNDED: failed("the cluster is founded already", 409, 9),
  CONCORD_CLUSTER_MISMATCH: failed("cluster ID mismatch", 409, 9),
  CONCORD_PEER_NOT_EMPTY: failed("the member to add is not an empty, waiting member", 409, 9),
  CONCORD_PEER_UNREACHABLE: failed("the member to add does not answer", 503, 14, true),
  /** No connection, or it ended before an answer to a request that changes nothing. */
  CONCORD_UNREACHABLE: failed("the member does not answer", 503, 14, true),
  /** A precondition of the request (If-Match, If-None-Match) does not hold. */
  CONCORD_CONDITION_FAILED: failed("the condition of the request does not hold", 412, 9),
  /** Of a command: a file of its own, not the data of a member. */
  CONCORD_FILE_FAILED: failed("a file could not be read or written", 500, 15),
  CONCORD_USAGE: failed("the command line is invalid", 400, 3),
  CONCORD_INVALID_ARGUMENT: failed("invalid argument", 400, 3),
  CONCORD_URI_TOO_LONG: failed("the address of the request is too long", 414, 3),
  CONCORD_NOT_FOUND: failed("not found", 404, 5),
  /** A session begins as a WebSocket handshake. */
  CONCORD_UPGRADE_REQUIRED: failed("a session is opened as a WebSocket", 426, 3),
  CONCORD_METHOD_NOT_ALLOWED: failed("method not allowed", 405, 12),
  /** The request itself took too long to arrive. */
  CONCORD_REQUEST_TOO_SLOW: failed("the request did not arrive in time", 408, 4, true),
  CONCORD_HEADERS_TOO_LARGE: failed("the headers of the request are too large", 431, 3),
  CONCORD_UNSUPPORTED_MEDIA_TYPE: failed("the content of the request is of a kind that is not supported", 415, 3),
  CONCORD_UNAUTHENTICATED: failed("a client certificate is required", 401, 16),
  CONCORD_PERMISSION_DENIED: failed("permission denied", 403, 7),
  CONCORD_UNIMPLEMENTED: failed("not implemented", 501, 12),
  CONCORD_DATA_DIR_LOCKED: failed("the data directory is used by another process", 500, 9),
  CONCORD_MEMBER_REMOVED: failed("the member has been removed from the cluster", 410, 9),
  CONCORD_MEMBER_LOST_DATA: failed("this member lost its data; replace it", 500, 9),
  CONCORD_RESTORE_UNFINISHED: failed("the data directory holds a restore that did not finish", 500, 9),
  CONCORD_CONFIGURATION_INVALID: failed("the configuration is invalid", 500, 3),
  CONCORD_STORAGE_FAILED: failed("the storage of this member failed", 500, 13),
  CONCORD_STORAGE_DAMAGED: failed("the data of this member is damaged", 500, 15),
  CONCORD_INTERNAL: failed("internal error", 500, 13),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** Exit statuses (sysexits.h where it has one) by the gRPC status of a row. */
const EXIT_BY_GRPC: Readonly<Record<number, number>> = {
  1: 130, // cancelled
  2: 65, // etcd's elections
  3: 64, // bad input: EX_USAGE
  4: 75,
  5: 1, // not found
  7: 77, // not permitted: EX_NOPERM
  8: 75, // a limit was reached: EX_TEMPFAIL
  9: 65, // the state does not allow it: EX_DATAERR
  11: 65,
  12: 64,
  13: 70, // EX_SOFTWARE
  14: 69, // EX_UNAVAILABLE
  15: 74, // EX_IOERR
  16: 77,
};

/** 76: the write may have happened; read before trying again. */
const EXIT_BY_CODE: Readonly<Partial<Record<ErrorCode, number>>> = {
  CONCORD_OUTCOME_UNKNOWN: 76,
  CONCORD_KEY_NOT_FOUND: 1,
  CONCORD_CONFIGURATION_INVALID: 78,
  CONCORD_MEMBER_LOST_DATA: 78,
  CONCORD_RESTORE_UNFINISHED: 78,
  CONCORD_STORAGE_FAILED: 74,
  /** A removed member has nothing left to do: its end is not a failure. */
  CONCORD_MEMBER_REMOVED: 0,
};

/** Exit status of a process that ends with this error. */
export function exitStatus(code: ErrorCode): number {
  return EXIT_BY_CODE[code] ?? EXIT_BY_GRPC[ERROR_TABLE[code].grpc] ?? 70;
}

/** Whether a text from elsewhere (an answer, a log) is a code of this table. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(ERROR_TABLE, text);
}

const BRAND = Symbol.for("concord.error");

/** A failed operation. Branch on `code`, never on the message. */
export class ConcordError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [BRAND] = true;

  constructor(code: ErrorCode, message?: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message ?? ERROR_TABLE[code].message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ConcordError";
    this.code = code;
    this.details = options.details ?? {};
  }

  get retryable(): boolean {
    return ERROR_TABLE[this.code].retryable;
  }

  /** `unknown`: the write may have been applied. */
  get outcome(): "failed" | "unknown" {
    return ERROR_TABLE[this.code].outcome;
  }

  /** True for a ConcordError of any copy of this package. */
  static is(value: unknown): value is ConcordError {
    return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
  }
}
