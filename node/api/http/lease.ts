import { ConcordError } from "../../client/errors.ts";
import {
  GrantLease,
  type Deleted,
  type GrantedLease,
  type LeaseInfo,
  type LeaseList,
  type RenewedLease,
} from "../../client/rest.ts";
import { type Exchange } from "./exchange.ts";
import { flag, leaseId, leaseText } from "./parameters.ts";
import { keyJson } from "./row.ts";

const PREFIX = "/api/v1/leases";

export function isLeasePath(path: string): boolean {
  return path === PREFIX || path.startsWith(`${PREFIX}/`);
}

/** Leases over REST; routes and bodies are described in client/rest.ts. */
export async function handleLease(exchange: Exchange): Promise<void> {
  if (exchange.path === PREFIX) {
    exchange.allowMethods("GET", "HEAD", "POST");
    exchange.query();
    if (exchange.method === "POST") await grant(exchange);
    else await list(exchange);
    return;
  }
  const [segment = "", action, ...rest] = exchange.path.slice(PREFIX.length + 1).split("/");
  if (rest.length > 0 || (action !== undefined && action !== "keepalive")) throw exchange.noSuchRoute();
  const id = leaseId("The lease id", segment);
  if (action === "keepalive") {
    exchange.allowMethods("POST");
    await renew(exchange, id);
    return;
  }
  exchange.allowMethods("GET", "HEAD", "DELETE");
  if (exchange.method === "DELETE") await revoke(exchange, id);
  else await show(exchange, id);
}

async function grant(exchange: Exchange): Promise<void> {
  const { ttlSeconds, id } = await exchange.json(GrantLease);
  const wanted = id === undefined ? 0n : leaseId("id", id);
  const { lease } = exchange.services;
  const { revision, reply } = exchange.written(
    await lease.grant(exchange.principal(), wanted, ttlSeconds, exchange.writeOptions()),
  );
  exchange.send({ id: leaseText(reply.id), ttlSeconds: reply.ttlSeconds, revision } satisfies GrantedLease);
}

async function list(exchange: Exchange): Promise<void> {
  const ids = await exchange.services.lease.list(exchange.principal());
  exchange.send({ leases: ids.map((id) => ({ id: leaseText(id) })) } satisfies LeaseList);
}

async function show(exchange: Exchange, id: bigint): Promise<void> {
  const keys = flag("keys", exchange.query("keys").keys);
  const { reply } = await exchange.services.lease.timeToLive(exchange.principal(), id, keys);
  if (reply.ttlSeconds < 0) throw new ConcordError("CONCORD_LEASE_NOT_FOUND");
  exchange.send({
    id: leaseText(id),
    ttlSeconds: reply.ttlSeconds,
    grantedTtlSeconds: reply.grantedSeconds,
    ...(keys ? { keys: reply.keys.map(keyJson) } : {}),
  } satisfies LeaseInfo);
}

async function renew(exchange: Exchange, id: bigint): Promise<void> {
  exchange.query();
  const { reply } = await exchange.services.lease.renew(exchange.principal(), id);
  const ttlSeconds = reply.ttls[0] ?? 0;
  if (ttlSeconds === 0) throw new ConcordError("CONCORD_LEASE_NOT_FOUND");
  exchange.send({ id: leaseText(id), ttlSeconds } satisfies RenewedLease);
}

async function revoke(exchange: Exchange, id: bigint): Promise<void> {
  exchange.query();
  const { lease } = exchange.services;
  const { revision, reply } = exchange.written(await lease.revoke(exchange.principal(), id, exchange.writeOptions()));
  exchange.send({ revision, deleted: reply.deleted } satisfies Deleted);
}
