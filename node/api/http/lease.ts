import { ConcordError } from "../../client/errors.ts";
import { Deleted, GrantedLease, GrantLease, LeaseInfo, LeaseList, RenewedLease } from "../../client/rest.ts";
import {
  json,
  jsonBody,
  operation,
  type OperationGroup,
  PROBLEMS_OF_CLUSTER,
  PROBLEMS_OF_WRITES,
} from "./operation.ts";
import { flag, LEASE_PARAMETER, leaseId, leaseText } from "./parameters.ts";
import { keyJson } from "./row.ts";

const LEASE_PATH = { path: "/api/v1/leases/{id}", parameters: { id: LEASE_PARAMETER } } as const;
const PROBLEMS = ["CONCORD_LEASE_NOT_FOUND", ...PROBLEMS_OF_WRITES] as const;

const grant = operation({
  id: "grantLease",
  method: "POST",
  path: "/api/v1/leases",
  summary: "Grants a lease; without an id one is chosen",
  headers: ["Idempotency-Key"],
  body: jsonBody(GrantLease),
  answers: [json("Granted", GrantedLease, ["Concord-Replayed"])],
  problems: ["CONCORD_LEASE_EXISTS", "CONCORD_LEASE_TTL_TOO_LARGE", "CONCORD_TOO_MANY_LEASES", ...PROBLEMS_OF_WRITES],
  async handle(exchange, { body }) {
    const { ttlSeconds, id } = await body();
    const wanted = id === undefined ? 0n : leaseId("id", id);
    const { lease } = exchange.services;
    const { revision, reply } = exchange.written(
      await lease.grant(exchange.principal(), wanted, ttlSeconds, exchange.writeOptions()),
    );
    exchange.send({ id: leaseText(reply.id), ttlSeconds: reply.ttlSeconds, revision } satisfies GrantedLease);
  },
});

const list = operation({
  id: "listLeases",
  method: "GET",
  path: "/api/v1/leases",
  summary: "Ids of all leases",
  answers: [json("The leases", LeaseList)],
  problems: PROBLEMS_OF_CLUSTER,
  async handle(exchange) {
    const ids = await exchange.services.lease.list(exchange.principal());
    exchange.send({ leases: ids.map((id) => ({ id: leaseText(id) })) } satisfies LeaseList);
  },
});

const show = operation({
  id: "getLease",
  method: "GET",
  ...LEASE_PATH,
  summary: "What is left of a lease",
  query: { keys: flag("With the keys that hang on it") },
  answers: [json("The lease", LeaseInfo)],
  problems: PROBLEMS,
  async handle(exchange, { path, query: { keys = false } }) {
    const id = idOf(path.id);
    const { reply } = await exchange.services.lease.timeToLive(exchange.principal(), id, keys);
    if (reply.ttlSeconds < 0) throw new ConcordError("CONCORD_LEASE_NOT_FOUND");
    exchange.send({
      id: leaseText(id),
      ttlSeconds: reply.ttlSeconds,
      grantedTtlSeconds: reply.grantedSeconds,
      ...(keys ? { keys: reply.keys.map(keyJson) } : {}),
    } satisfies LeaseInfo);
  },
});

const renew = operation({
  id: "renewLease",
  method: "POST",
  path: "/api/v1/leases/{id}/keepalive",
  parameters: LEASE_PATH.parameters,
  summary: "Begins the time of a lease anew",
  answers: [json("Renewed", RenewedLease)],
  problems: PROBLEMS,
  async handle(exchange, { path }) {
    const id = idOf(path.id);
    const { reply } = await exchange.services.lease.renew(exchange.principal(), id);
    const ttlSeconds = reply.ttls[0] ?? 0;
    if (ttlSeconds === 0) throw new ConcordError("CONCORD_LEASE_NOT_FOUND");
    exchange.send({ id: leaseText(id), ttlSeconds } satisfies RenewedLease);
  },
});

const revoke = operation({
  id: "revokeLease",
  method: "DELETE",
  ...LEASE_PATH,
  summary: "Ends a lease and deletes its keys",
  headers: ["Idempotency-Key"],
  answers: [json("Ended; `deleted` is the number of its keys", Deleted, ["Concord-Replayed"])],
  problems: PROBLEMS,
  async handle(exchange, { path }) {
    const { lease } = exchange.services;
    const { revision, reply } = exchange.written(
      await lease.revoke(exchange.principal(), idOf(path.id), exchange.writeOptions()),
    );
    exchange.send({ revision, deleted: reply.deleted } satisfies Deleted);
  },
});

export const LEASE: OperationGroup = {
  name: "lease",
  description: "Leases, which keys hang on: when a lease ends, its keys are deleted",
  operations: [grant, list, show, renew, revoke],
};

function idOf(segment: Buffer): bigint {
  return leaseId("The lease id", segment.toString("latin1"));
}
