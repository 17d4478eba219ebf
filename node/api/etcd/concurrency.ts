import { ConcordError } from "../../client/errors.ts";
import { type ContestRequest, type Place } from "../../service/contest.ts";
import { type EtcdCalls, type UnaryHandlers } from "./calls.ts";
import {
  type CampaignRequest,
  type ElectionRequest,
  type LeaderKey,
  type LockRequest,
  type ProclaimRequest,
} from "./messages.ts";
import { keyValue } from "./responses.ts";

/** Of a lease that is granted for a caller who names none: what etcd's sessions have. */
const SESSION_TTL_SECONDS = 60;
const NO_BYTES = new Uint8Array(0);

/**
 * v3lockpb.Lock. Errors have the statuses of the other services; etcd's lock and election services say UNKNOWN to
 * everything.
 */
export function lockMethods(calls: EtcdCalls): UnaryHandlers {
  const { kv, lock } = calls.services;
  return {
    Lock: calls.waiting<LockRequest>(async ({ name, lease }, principal, signal) => {
      calls.refuseLearner();
      const request = { name, lease: leaseOf(lease), waitMs: Infinity };
      const { key } = await lock.acquire(principal, request, signal);
      return { header: calls.header(), key };
    }),

    Unlock: calls.unary<{ readonly key: Uint8Array }>(async ({ key }, principal, options) => {
      calls.refuseLearner();
      const operation = { type: "delete", key, rangeEnd: NO_BYTES, previous: false } as const;
      const { revision } = await kv.delete(principal, operation, options);
      return { header: calls.header(revision) };
    }),
  };
}

/** v3electionpb.Election, without its stream. */
export function electionMethods(calls: EtcdCalls): UnaryHandlers {
  const { election } = calls.services;
  return {
    Campaign: calls.waiting<CampaignRequest>(async ({ name, lease, value }, principal, signal) => {
      calls.refuseLearner();
      const place = await election.campaign(principal, { name, lease: leaseOf(lease), value }, signal);
      const leader = { name, key: place.key, rev: place.createRevision, lease: place.leaseId.toString() };
      return { header: calls.header(), leader };
    }),

    Proclaim: calls.unary<ProclaimRequest>(async ({ leader, value }, principal, options) => {
      calls.refuseLearner();
      return { header: calls.header(await election.proclaim(principal, placeOf(leader), value, options)) };
    }),

    Leader: calls.unary<ElectionRequest>(async ({ name }, principal, options) => {
      calls.refuseLearner();
      const { revision, row } = await election.leader(principal, name, options);
      return { header: calls.header(revision), kv: keyValue(row) };
    }),

    Resign: calls.unary<Pick<ProclaimRequest, "leader">>(async ({ leader }, principal, options) => {
      calls.refuseLearner();
      return { header: calls.header(await election.resign(principal, placeOf(leader), options)) };
    }),
  };
}

function leaseOf(id: string): ContestRequest["lease"] {
  return id === "0" ? { ttlSeconds: SESSION_TTL_SECONDS } : { id: BigInt(id) };
}

function placeOf(leader: LeaderKey | null): Place {
  if (leader === null) throw new ConcordError("CONCORD_ELECTION_KEY_MISSING");
  return { key: leader.key, leaseId: BigInt(leader.lease), createRevision: Number(leader.rev) };
}
