import { ConcordError } from "../../client/errors.ts";
import { type Member } from "../../machine/commands.ts";
import { requirePeerUrls } from "../../service/cluster.ts";
import { type EtcdCalls, type UnaryHandlers } from "./calls.ts";
import {
  type MemberAddRequest,
  type MemberIdRequest,
  type MemberListRequest,
  type MemberUpdateRequest,
} from "./messages.ts";
import { hexId } from "./requests.ts";
import { memberMessage } from "./responses.ts";

/**
 * etcdserverpb.Cluster. A change is asked for at any member and answered when the leader has committed it.
 */
export function clusterMethods(calls: EtcdCalls): UnaryHandlers {
  // As etcd's, these answers are of no revision.
  const answer = (members: readonly Member[]): object => ({
    header: calls.header(0),
    members: members.map(memberMessage),
  });
  return {
    MemberList: calls.unary<MemberListRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      return answer(await calls.services.cluster.members(principal, request.linearizable, options));
    }),

    MemberAdd: calls.unary<MemberAddRequest>(async ({ peerURLs, isLearner }, principal, options) => {
      calls.refuseLearner();
      const { cluster } = calls.services;
      requirePeerUrls(peerURLs);
      refuseTaken(peerURLs, cluster.administratorsInfo(principal).members);
      // etcd counts a voter before it has started. Here a member votes when it has everything (ADR 0003).
      if (!isLearner) {
        throw new ConcordError(
          "CONCORD_INVALID_ARGUMENT",
          "a member is added as a learner (--learner) and promoted when it is in sync with the leader",
        );
      }
      const members = await cluster.addLearner(principal, { name: "", peerUrls: [...peerURLs] }, options);
      const added = members.find(({ peerUrls }) => peerUrls.includes(peerURLs[0] ?? ""));
      return { ...answer(members), ...(added === undefined ? {} : { member: memberMessage(added) }) };
    }),

    MemberUpdate: calls.unary<MemberUpdateRequest>(async ({ ID, peerURLs }, principal, options) => {
      calls.refuseLearner();
      return answer(await calls.services.cluster.update(principal, memberId(ID), [...peerURLs], options));
    }),

    MemberRemove: calls.unary<MemberIdRequest>(async ({ ID }, principal, options) => {
      calls.refuseLearner();
      return answer(await calls.services.cluster.remove(principal, memberId(ID), options));
    }),

    MemberPromote: calls.unary<MemberIdRequest>(async ({ ID }, principal, options) => {
      calls.refuseLearner();
      return answer(await calls.services.cluster.promote(principal, memberId(ID), options));
    }),
  };
}

function memberId(decimal: string): string {
  const id = hexId(decimal);
  if (id === "") throw new ConcordError("CONCORD_MEMBER_NOT_FOUND");
  return id;
}

function refuseTaken(urls: readonly string[], members: readonly Member[]): void {
  if (members.some(({ peerUrls }) => peerUrls.some((url) => urls.includes(url)))) {
    throw new ConcordError("CONCORD_PEER_URL_EXISTS");
  }
}
