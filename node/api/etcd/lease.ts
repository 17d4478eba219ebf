import { type EtcdCalls, type UnaryHandlers } from "./calls.ts";
import { type LeaseGrantRequest, type LeaseRevokeRequest, type LeaseTimeToLiveRequest } from "./messages.ts";
import { leaseSeconds } from "./requests.ts";

/** etcdserverpb.Lease, without its stream. */
export function leaseMethods(calls: EtcdCalls): UnaryHandlers {
  const { lease } = calls.services;
  return {
    LeaseGrant: calls.unary<LeaseGrantRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      const answer = await lease.grant(principal, BigInt(request.ID), leaseSeconds(request.TTL), options);
      const { id, ttlSeconds } = answer.reply;
      return { header: calls.header(answer.revision), ID: id.toString(), TTL: ttlSeconds };
    }),

    LeaseRevoke: calls.unary<LeaseRevokeRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      const { revision } = await lease.revoke(principal, BigInt(request.ID), options);
      return { header: calls.header(revision) };
    }),

    LeaseTimeToLive: calls.unary<LeaseTimeToLiveRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      const answer = await lease.timeToLive(principal, BigInt(request.ID), request.keys, options);
      const { ttlSeconds, grantedSeconds, keys } = answer.reply;
      return {
        header: calls.header(answer.revision),
        ID: request.ID,
        TTL: ttlSeconds,
        grantedTTL: grantedSeconds,
        keys,
      };
    }),

    LeaseLeases: calls.unary(async (_request, principal, options) => {
      calls.refuseLearner();
      const ids = await lease.list(principal, options);
      return { header: calls.header(), leases: ids.map((id) => ({ ID: id.toString() })) };
    }),
  };
}
