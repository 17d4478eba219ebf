import { ConcordError } from "../../client/errors.ts";
import { type Exchange, percentDecode } from "./exchange.ts";

const PREFIX = "/api/v1/idempotency/";

export function isIdempotencyPath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/**
 * What became of the write with an idempotency key, for whoever lost its answer:
 *
 *     GET /api/v1/idempotency/{key}   -> { revision } at which it was applied; 404: not applied (yet), or forgotten
 *
 * A write that is still on its way may be applied after a 404. Send it again with its key instead: that settles it.
 */
export async function handleIdempotency(exchange: Exchange): Promise<void> {
  exchange.allowMethods("GET", "HEAD");
  exchange.query();
  const key = percentDecode(exchange.path.slice(PREFIX.length), "path");
  const revision = await exchange.services.kv.writeRevision(exchange.principal(), key);
  if (revision === undefined)
    throw new ConcordError("CONCORD_NOT_FOUND", "No write with this idempotency key was applied, or it is forgotten");
  exchange.send({ revision }, { "concord-revision": String(revision) });
}
