import { isUtf8 } from "node:buffer";
import { ConcordError } from "../../client/errors.ts";
import { AcquireLock, type AcquiredLock, type Deleted } from "../../client/rest.ts";
import { type LockRequest } from "../../service/lock.ts";
import { badRequest, percentDecode, type Exchange } from "./exchange.ts";
import { leaseId, leaseText } from "./parameters.ts";
import { KEY_BYTES_MAX, keyJson } from "./row.ts";

const PREFIX = "/api/v1/locks/";
/** Behind the name come a slash and up to 16 hex digits. */
const NAME_BYTES_MAX = KEY_BYTES_MAX - 17;

export function isLockPath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** Locks over REST; routes and bodies are described in client/rest.ts. */
export async function handleLock(exchange: Exchange): Promise<void> {
  exchange.allowMethods("POST", "DELETE");
  exchange.query();
  const rest = exchange.path.slice(PREFIX.length);
  if (exchange.method === "POST") {
    await acquire(exchange, lockName(rest));
    return;
  }
  const slashAt = rest.lastIndexOf("/");
  if (slashAt < 0) throw badRequest("Expected the lock's name, a slash and the lease id of its holder");
  await release(exchange, lockName(rest.slice(0, slashAt)), leaseId("The lease id", rest.slice(slashAt + 1)));
}

async function acquire(exchange: Exchange, name: string): Promise<void> {
  if (exchange.writeOptions().idempotencyKey !== undefined)
    throw badRequest("A lock takes no Idempotency-Key; with a leaseId the request can be sent again as it is");
  const body = await exchange.json(AcquireLock);
  const request = { name, lease: leaseOf(body), waitMs: body.waitMs ?? 0 };
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
}

async function release(exchange: Exchange, name: string, id: bigint): Promise<void> {
  const answer = await exchange.services.lock.release(exchange.principal(), name, id);
  exchange.send(answer satisfies Deleted);
}

function leaseOf({ leaseId: id, ttlSeconds }: AcquireLock): LockRequest["lease"] {
  if (id !== undefined && ttlSeconds === undefined) return { id: leaseId("leaseId", id) };
  if (ttlSeconds !== undefined && id === undefined) return { ttlSeconds };
  throw badRequest("Expected either leaseId or ttlSeconds");
}

/** Slashes count as they are, written or escaped. */
function lockName(segment: string): string {
  const bytes = percentDecode(segment, "path");
  if (bytes.length === 0) throw new ConcordError("CONCORD_KEY_EMPTY", "The name of the lock is empty");
  if (bytes.length > NAME_BYTES_MAX) {
    throw badRequest(`The name of the lock has ${bytes.length} bytes, at most ${NAME_BYTES_MAX} are allowed`);
  }
  if (!isUtf8(bytes)) throw badRequest("The name of the lock is not valid UTF-8");
  return bytes.toString("utf8");
}
