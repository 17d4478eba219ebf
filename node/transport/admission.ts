/**
 * Who may speak to whom: the decisions of a handshake, without sockets. Every transport asks the same two functions, the
 * accepting side `answerHello`, the dialling side `judgeAnswer`.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import {
  type Hello,
  type HelloAnswer,
  type MemberName,
  type ProbeReply,
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_MIN,
} from "../codec/handshake.ts";
import { type TransportHandler, type TransportIdentity } from "./transport.ts";

const ANYBODY: MemberName = { id: "", name: "" };

/** The hello of a session with `to`. */
export function sessionHello(identity: TransportIdentity, to: MemberName): Hello {
  return hello(identity, "session", to);
}

/** The hello of a probe. */
export function probeHello(identity: TransportIdentity): Hello {
  return hello(identity, "probe", ANYBODY);
}

/**
 * Decides about a hello. The order matters: nothing is adopted, and nobody learns that it was removed, before it is
 * certain who asks and that this member is meant.
 *
 * @param certificateName The member's name in the peer's certificate, where certificates name members.
 */
export function answerHello(
  identity: TransportIdentity,
  handler: TransportHandler,
  asked: Hello,
  certificateName: string | undefined,
): HelloAnswer {
  const stranger = refuseStranger(identity, asked, certificateName);
  if (asked.kind === "probe") return { type: "probed", reply: replyToProbe(identity, handler, asked, stranger) };
  const reason = stranger ?? refuseSession(identity, asked);
  if (reason !== undefined) return { type: "refused", reason };
  if (identity.clusterId !== "" && handler.isRemoved(asked.from.id))
    return { type: "removed", clusterId: identity.clusterId, member: asked.from.id };
  const adopted = identity.clusterId === "";
  if (adopted && !handler.onAdopt(asked.clusterId, asked.from))
    return { type: "refused", reason: "the waiting member does not want to be adopted by this cluster" };
  return {
    type: "accepted",
    protocolVersion: Math.min(PROTOCOL_VERSION, asked.protocolVersion),
    clusterId: asked.clusterId,
    member: { id: identity.memberId, name: identity.memberName },
    adopted,
  };
}

/** What the dialling side makes of an answer. */
export type Verdict =
  { readonly type: "accepted" } | { readonly type: "removed" } | { readonly type: "refused"; readonly reason: string };

/**
 * Judges the answer to a session's hello: the one who answers must be the member that was dialled.
 *
 * @param certificateName The member's name in the peer's certificate, where certificates name members.
 */
export function judgeAnswer(
  identity: TransportIdentity,
  peer: MemberName,
  answer: HelloAnswer,
  certificateName: string | undefined,
): Verdict {
  const refused = (reason: string): Verdict => ({ type: "refused", reason });
  switch (answer.type) {
    case "accepted":
      if (answer.clusterId !== identity.clusterId)
        return refused(clusterMismatch(answer.clusterId, identity.clusterId));
      if (answer.member.id !== peer.id) return refused(idMismatch(answer.member.id, peer.id));
      if (peer.name !== "" && answer.member.name !== peer.name)
        return refused(nameMismatch(answer.member.name, peer.name));
      if (certificateName !== undefined && certificateName !== answer.member.name)
        return refused(certificateMismatch(certificateName, answer.member.name));
      return { type: "accepted" };
    case "removed":
      // An answer about another cluster or another member says nothing about this one.
      return answer.clusterId === identity.clusterId && answer.member === identity.memberId
        ? { type: "removed" }
        : refused("the answer is about another member or another cluster");
    case "refused":
      return refused(answer.reason);
    case "probed":
      return refused("the peer answered a probe that was not sent");
  }
}

function refuseStranger(
  identity: TransportIdentity,
  asked: Hello,
  certificateName: string | undefined,
): string | undefined {
  if (asked.groupId !== identity.groupId)
    return `group ID mismatch: peer has ${asked.groupId}, this member ${identity.groupId}`;
  if (certificateName !== undefined && certificateName !== asked.from.name)
    return certificateMismatch(certificateName, asked.from.name);
  return undefined;
}

function refuseSession(identity: TransportIdentity, asked: Hello): string | undefined {
  if (asked.clusterId === "") return "the peer belongs to no cluster yet";
  if (identity.clusterId === "" && !sameHash(asked.tokenHash, hash(identity.token))) return TOKEN_MISMATCH;
  if (identity.clusterId !== "" && asked.clusterId !== identity.clusterId)
    return clusterMismatch(asked.clusterId, identity.clusterId);
  if (asked.to.id !== identity.memberId) return idMismatch(identity.memberId, asked.to.id);
  if (asked.to.name !== "" && asked.to.name !== identity.memberName)
    return nameMismatch(identity.memberName, asked.to.name);
  if (asked.from.id === identity.memberId) return "the peer has the member ID of this member";
  return undefined;
}

function replyToProbe(
  identity: TransportIdentity,
  handler: TransportHandler,
  asked: Hello,
  stranger: string | undefined,
): ProbeReply {
  const reason = stranger ?? refuseProbe(identity, asked);
  const { memberId, memberName, clusterId, formerId = "" } = identity;
  const self = { memberId, memberName, clusterId, formerId };
  if (reason !== undefined) return { ...self, state: "refused", members: [], reason };
  const state = identity.clusterId === "" ? "empty" : "member";
  return { ...self, state, members: handler.members(), reason: "" };
}

/**
 * Tokens must be equal. Lists only between two members that both found by one and belong to no cluster yet: a founded
 * cluster has outgrown its list, and it must be able to say that it exists.
 */
function refuseProbe(identity: TransportIdentity, asked: Hello): string | undefined {
  if (!sameHash(asked.tokenHash, hash(identity.token))) return TOKEN_MISMATCH;
  const list = foundingListHash(identity);
  const founded = identity.clusterId !== "" || asked.clusterId !== "";
  if (founded || list.length === 0 || asked.foundingListHash.length === 0) return undefined;
  return sameHash(asked.foundingListHash, list) ? undefined : "initial cluster mismatch: the founding lists differ";
}

const TOKEN_MISMATCH = "cluster token mismatch";

const clusterMismatch = (peer: string, own: string) => `cluster ID mismatch: peer has ${peer}, this member ${own}`;
const idMismatch = (found: string, wanted: string) => `member ID mismatch: found ${found}, wanted ${wanted}`;
const nameMismatch = (found: string, wanted: string) => `member name mismatch: found "${found}", wanted "${wanted}"`;
const certificateMismatch = (certificate: string, handshake: string) =>
  `certificate mismatch: the certificate is of member "${certificate}", the handshake of "${handshake}"`;

function hello(identity: TransportIdentity, kind: Hello["kind"], to: MemberName): Hello {
  return {
    protocolVersion: PROTOCOL_VERSION,
    minimumVersion: PROTOCOL_VERSION_MIN,
    groupId: identity.groupId,
    clusterId: identity.clusterId,
    from: { id: identity.memberId, name: identity.memberName },
    to,
    kind,
    tokenHash: hash(identity.token),
    foundingListHash: foundingListHash(identity),
  };
}

function foundingListHash(identity: TransportIdentity): Uint8Array {
  return identity.initialCluster === "" ? new Uint8Array() : hash(identity.initialCluster);
}

function hash(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
