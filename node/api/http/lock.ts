import { isUtf8 } from "node:buffer";
import { Type } from "typebox";
import { ConcordError } from "../../client/errors.ts";
import { AcquiredLock, AcquireLock, Deleted, KEY_BYTES_MAX } from "../../client/rest.ts";
import { type LockRequest } from "../../service/lock.ts";
import { badRequest } from "./exchange.ts";
import { json, jsonBody, operation, type OperationGroup, PROBLEMS_OF_WRITES } from "./operation.ts";
import { LEASE_PARAMETER, leaseId, leaseText } from "./parameters.ts";
import { keyJson } from "./row.ts";

/** Behind the name come a slash and up to 16 hex digits. */
const NAME_BYTES_MAX = KEY_BYTES_MAX - 17;
const NAME_PARAMETER = {
  description: `Name of the lock, UTF-8, 1 to ${NAME_BYTES_MAX} bytes; a slash in it is written %2F`,
  schema: Type.String({ minLength: 1, maxLength: NAME_BYTES_MAX }),
};

const acquire = operation({
  id: "acquireLock",
  method: "POST",
  path: "/api/v1/locks/{name}",
  summary: "Acquires a lock",
  description:
    "On a lease of the caller's (`leaseId`), or on one that is granted for it (`ttlSeconds`) and that the caller renews. " +
    "It takes no Idempotency-Key: with a `leaseId` the request can be sent again as it is.",
  parameters: { name: NAME_PARAMETER },
  body: jsonBody(AcquireLock),
  answers: [json("Acquired", AcquiredLock)],
  problems: [
    "CONCORD_LEASE_TTL_TOO_LARGE",
    "CONCORD_KEY_EMPTY",
    "CONCORD_LOCK_HELD",
    "CONCORD_LEASE_NOT_FOUND",
    "CONCORD_TOO_MANY_LEASES",
    ...PROBLEMS_OF_WRITES,
  ],
  async handle(exchange, { path, body }) {
    const name = lockName(path.name);
    if (exchange.writeOptions().idempotencyKey !== undefined)
      throw badRequest("A lock takes no Idempotency-Key; with a leaseId the request can be sent again as it is");
    const { waitMs = 0, ...lease } = await body();
    const request = { name, lease: leaseOf(lease), waitMs };
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    exchange.response.once("close", onClose);
    try {
      const lock = await exchange.services.lock.acquire(exchange.principal(), request, gone.signal);
      exchange.send({
        name,
        ...keyJson(lock.key),
        leaseId: leaseText(lock.leaseId),
        fencingToken: lock.fencingToken,
      } satisfies AcquiredLock);
    } finally {
      exchange.response.off("close", onClose);
    }
  },
});

const release = operation({
  id: "releaseLock",
  method: "DELETE",
  path: "/api/v1/locks/{name}/{leaseId}",
  summary: "Releases a lock, and keeps its lease",
  description: "Nothing is deleted when the lock was not held, or waited for, on that lease.",
  parameters: { name: NAME_PARAMETER, leaseId: LEASE_PARAMETER },
  answers: [json("Released, or not held", Deleted)],
  problems: ["CONCORD_KEY_EMPTY", ...PROBLEMS_OF_WRITES],
  async handle(exchange, { path }) {
    const id = leaseId("The lease id", path.leaseId.toString("latin1"));
    const answer = await exchange.services.lock.release(exchange.principal(), lockName(path.name), id);
    exchange.send(answer satisfies Deleted);
  },
});

/** As `etcdctl lock` makes them: the two exclude each other. */
export const LOCK: OperationGroup = {
  name: "lock",
  description: "Locks on leases, with fencing tokens",
  operations: [acquire, release],
};

function leaseOf({ leaseId: id, ttlSeconds }: AcquireLock): LockRequest["lease"] {
  if (id !== undefined && ttlSeconds === undefined) return { id: leaseId("leaseId", id) };
  if (ttlSeconds !== undefined && id === undefined) return { ttlSeconds };
  throw badRequest("Expected either leaseId or ttlSeconds");
}

function lockName(bytes: Buffer): string {
  if (bytes.length === 0) throw new ConcordError("CONCORD_KEY_EMPTY", "The name of the lock is empty");
  if (bytes.length > NAME_BYTES_MAX) {
    throw badRequest(`The name of the lock has ${bytes.length} bytes, at most ${NAME_BYTES_MAX} are allowed`);
  }
  if (!isUtf8(bytes)) throw badRequest("The name of the lock is not valid UTF-8");
  return bytes.toString("utf8");
}
