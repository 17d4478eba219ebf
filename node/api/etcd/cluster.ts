import { type EtcdCalls, type UnaryHandlers } from "./calls.ts";
import { type MemberListRequest } from "./messages.ts";
import { memberMessage } from "./responses.ts";

/** etcdserverpb.Cluster: reading. Membership changes go through the admin door, which knows who may make them. */
export function clusterMethods(calls: EtcdCalls): UnaryHandlers {
  return {
    MemberList: calls.unary<MemberListRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      const members = await calls.services.cluster.members(principal, request.linearizable, options);
      return { header: calls.header(), members: members.map(memberMessage) };
    }),
  };
}
