import { ConcordError } from "../client/errors.ts";
import { KEY_BYTES_MAX, LOCK_WAIT_MAX_MS } from "../client/rest.ts";
import {
  type Freshness,
  type KeyValue,
  type Operation,
  type OperationReply,
  type RequestSettings,
  type SessionReply,
  type SessionRequest,
  type SessionStatus,
} from "../client/wire/types.ts";
import { type Reply } from "../machine/commands.ts";
import { isReadOnly } from "../service/authorize.ts";
import { type Principal } from "../service/principal.ts";
import { type Services } from "../service/services.ts";

/** What a request gave, before it has the form of an answer. */
export interface Done {
  readonly revision: number;
  readonly reply: SessionReply;
  readonly replayed?: boolean;
  readonly freshness?: Freshness | undefined;
}

export interface CallContext {
  readonly services: Services;
  readonly principal: Principal;
  /** Version of Concord. */
  readonly version: string;
  /** Ends the wait for a lock. */
  readonly signal: () => AbortSignal;
}

export type CallSettings = RequestSettings & {
  /** Ends the wait. A write that was proposed by then is `CONCORD_OUTCOME_UNKNOWN`. */
  readonly signal?: AbortSignal | undefined;
};

/** Rows of one answer to a read; more are read in pages. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** Behind the name come a slash and up to 16 hex digits. */
const LOCK_NAME_BYTES_MAX = KEY_BYTES_MAX - 17;

/**
 * Carries one request of a session or of an embedding program out, with the services that REST has.
 *
 * @throws ConcordError
 */
export async function carryOut(request: SessionRequest, settings: CallSettings, context: CallContext): Promise<Done> {
  const { level = "strong", ...options } = settings;
  const { services, principal } = context;
  switch (request.type) {
    case "range":
      checkKeys(request);
      return checkSize(await services.kv.range(principal, request, level, options));
    case "history":
      checkLength("key", request.key, KEY_BYTES_MAX);
      return checkSize(await services.kv.history(principal, request, level, options));
    case "put":
      checkKeys(request);
      return services.kv.put(principal, request, options);
    case "delete":
      checkKeys(request);
      return services.kv.delete(principal, request, options);
    case "touch":
      checkKeys(request);
      return services.kv.touch(principal, request, options);
    case "txn": {
      checkKeys(request);
      const { reply, ...rest } = await services.kv.txn(principal, request, level, options);
      const done = { ...rest, reply: operationReply(reply) };
      // A write that is done is answered, whatever the size of what it returns.
      return isReadOnly(request) ? checkSize(done) : done;
    }
    case "compact":
      return services.kv.compact(principal, request.revision, options);
    case "writeRevision": {
      const writtenAt = await services.kv.writeRevision(principal, request.key, options);
      return { revision: services.header().revision, reply: { type: "writeRevision", writtenAt } };
    }
    case "status":
      return { revision: services.header().revision, reply: { type: "status", status: statusOf(context) } };
    case "lock":
    case "unlock":
      return lockCall(request, settings, context);
    default:
      return leaseCall(request, settings, context);
  }
}

async function leaseCall(
  request: Extract<SessionRequest, { readonly type: `lease${string}` }>,
  { idempotencyKey, timeoutMs, signal }: CallSettings,
  { services, principal }: CallContext,
): Promise<Done> {
  const { lease } = services;
  const options = { idempotencyKey, timeoutMs, signal };
  switch (request.type) {
    case "leaseGrant":
      if (request.ttlSeconds === 0) throw badRequest("ttlSeconds is 0, expected at least 1");
      return lease.grant(principal, request.id, request.ttlSeconds, options);
    case "leaseRevoke":
      return lease.revoke(principal, request.id, options);
    case "leaseKeepAlive": {
      const { revision, reply } = await lease.renew(principal, request.id, options);
      return { revision, reply: { type: "leaseKeepAlive", ttlSeconds: reply.ttls[0] ?? 0 } };
    }
    case "leaseTimeToLive": {
      const { revision, reply } = await lease.timeToLive(principal, request.id, request.keys, options);
      const { ttlSeconds, grantedSeconds, keys } = reply;
      const left = ttlSeconds < 0 ? undefined : ttlSeconds;
      return { revision, reply: { type: "leaseTimeToLive", ttlSeconds: left, grantedSeconds, keys } };
    }
    case "leases": {
      const ids = await lease.list(principal, options);
      return { revision: services.header().revision, reply: { type: "leases", ids } };
    }
  }
}

async function lockCall(
  request: Extract<SessionRequest, { readonly type: "lock" | "unlock" }>,
  { idempotencyKey }: CallSettings,
  { services, principal, signal }: CallContext,
): Promise<Done> {
  if (idempotencyKey !== undefined)
    throw badRequest("A lock takes no idempotency key; with a lease the request can be sent again as it is");
  const { name, lease } = request;
  if (name === "") throw new ConcordError("CONCORD_KEY_EMPTY", "The name of the lock is empty");
  const bytes = Buffer.byteLength(name);
  if (bytes > LOCK_NAME_BYTES_MAX)
    throw badRequest(`The name of the lock has ${bytes} bytes, at most ${LOCK_NAME_BYTES_MAX} are allowed`);
  if (request.type === "unlock") {
    if (lease === 0n) throw badRequest("Expected the lease of the lock's holder");
    const { revision, deleted } = await services.lock.release(principal, name, lease);
    return { revision, reply: { type: "unlock", deleted } };
  }
  const { ttlSeconds, waitMs } = request;
  if ((lease === 0n) === (ttlSeconds === 0)) throw badRequest("Expected either a lease or ttlSeconds");
  if (waitMs > LOCK_WAIT_MAX_MS) throw badRequest(`waitMs is ${waitMs}, expected 0 to ${LOCK_WAIT_MAX_MS}`);
  const holder = lease === 0n ? { ttlSeconds } : { id: lease };
  const lock = await services.lock.acquire(principal, { name, lease: holder, waitMs }, signal());
  const { key, leaseId, fencingToken } = lock;
  return { revision: services.header().revision, reply: { type: "lock", key, lease: leaseId, fencingToken } };
}

function statusOf({ services, principal, version }: CallContext): SessionStatus {
  const info = services.cluster.info(principal);
  return {
    ...info,
    version,
    // A store that was never compacted says −1.
    compactRevision: Math.max(0, info.compactRevision),
    alarms: info.alarms.map(({ member, alarm }) => `${alarm} at ${member}`),
  };
}

/** The limits of the native doors; the store's own are checked there. A bound may be one byte longer: "the key after k". */
function checkKeys(operation: Operation): void {
  switch (operation.type) {
    case "put":
      if (operation.ttlMs === 0) throw badRequest("ttlMs is 0, expected at least 1");
      checkLength("key", operation.key, KEY_BYTES_MAX);
      return;
    case "touch":
      checkLength("key", operation.key, KEY_BYTES_MAX);
      return;
    case "range":
    case "delete":
      checkLength("key", operation.key, KEY_BYTES_MAX + 1);
      checkLength("rangeEnd", operation.rangeEnd, KEY_BYTES_MAX + 1);
      return;
    case "txn":
      for (const compare of operation.compares) {
        checkLength("key", compare.key, KEY_BYTES_MAX + 1);
        checkLength("rangeEnd", compare.rangeEnd, KEY_BYTES_MAX + 1);
      }
      for (const each of operation.success) checkKeys(each);
      for (const each of operation.failure) checkKeys(each);
      return;
  }
}

/** @param name - of the field, for the message. */
export function checkLength(name: string, bytes: Uint8Array, bytesMax: number): void {
  if (bytes.length > bytesMax) throw badRequest(`${name} has ${bytes.length} bytes, at most ${bytesMax} are allowed`);
}

function operationReply(reply: Reply): OperationReply {
  if (isOperationReply(reply)) return reply;
  throw new ConcordError("CONCORD_INTERNAL", `An operation was answered with a ${reply.type}`);
}

function isOperationReply(reply: Reply): reply is Reply & OperationReply {
  switch (reply.type) {
    case "put":
    case "range":
    case "delete":
    case "touch":
      return true;
    case "txn":
      return reply.replies.every(isOperationReply);
    default:
      return false;
  }
}

function checkSize<T extends { readonly reply: SessionReply }>(done: T): T {
  if (bytesOf(done.reply) <= ANSWER_BYTES_MAX) return done;
  const message = `The answer is larger than ${ANSWER_BYTES_MAX} bytes; ask for fewer rows at a time`;
  throw new ConcordError("CONCORD_REQUEST_TOO_LARGE", message);
}

function bytesOf(reply: SessionReply): number {
  const row = (sum: number, { key, value }: KeyValue): number => sum + key.length + value.length;
  if (reply.type === "range" || reply.type === "history") return reply.rows.reduce(row, 0);
  return reply.type === "txn" ? reply.replies.reduce((sum, each) => sum + bytesOf(each), 0) : 0;
}

function badRequest(message: string): ConcordError {
  return new ConcordError("CONCORD_INVALID_ARGUMENT", message);
}
