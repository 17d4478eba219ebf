import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { Type } from "typebox";
import {
  AddLearnerRequest,
  CompactAnswer,
  CompactRequest,
  GrantRequest,
  HashAnswer,
  MembersAnswer,
  MemberStatus,
  TransferAnswer,
  TransferRequest,
  type MemberInfo,
} from "../../client/admin.ts";
import { ConcordError } from "../../client/errors.ts";
import { type Member } from "../../machine/commands.ts";
import { badRequest, type Exchange } from "./exchange.ts";
import {
  BYTES,
  type DoorContext,
  json,
  jsonBody,
  operation,
  type OperationGroup,
  PROBLEMS_OF_CLUSTER,
  PROBLEMS_OF_READS,
  PROBLEMS_OF_WRITES,
} from "./operation.ts";
import { wholeNumber } from "./parameters.ts";

/** A transfer waits for the election of the next leader, a change for its commit. */
const CHANGE_TIMEOUT_MS = 10_000;
const TIMEOUT = { timeoutMs: CHANGE_TIMEOUT_MS };
const MEMBER_PARAMETER = {
  description: "Raft id of the member",
  schema: Type.String({ pattern: "^[0-9a-f]{16}$" }),
};
const PROBLEMS_OF_CHANGES = [
  ...PROBLEMS_OF_CLUSTER,
  "CONCORD_FOUNDING",
  "CONCORD_OUTCOME_UNKNOWN",
  "CONCORD_MEMBER_NOT_FOUND",
  "CONCORD_CHANGE_IN_PROGRESS",
  "CONCORD_WOULD_LOSE_QUORUM",
] as const;

const status = operation({
  id: "getStatus",
  method: "GET",
  path: "/admin/v1/status",
  summary: "What this member knows by itself",
  answers: [json("The status", MemberStatus)],
  problems: ["CONCORD_PERMISSION_DENIED"],
  handle: (exchange, _input, context) => exchange.send(memberStatus(exchange, context)),
});

const grant = operation({
  id: "grant",
  method: "POST",
  path: "/admin/v1/grant",
  summary: "Founds the cluster here, once",
  body: jsonBody(GrantRequest),
  answers: [json("Founded; the status", MemberStatus)],
  problems: ["CONCORD_PERMISSION_DENIED", "CONCORD_ALREADY_FOUNDED", "CONCORD_STOPPED"],
  async handle(exchange, { body }, context) {
    await exchange.services.cluster.grant(exchange.principal(), await body());
    exchange.send(memberStatus(exchange, context));
  },
});

const add = operation({
  id: "addMember",
  method: "POST",
  path: "/admin/v1/members",
  summary: "Adds a member that waits at its peer URLs, as a learner",
  body: jsonBody(AddLearnerRequest),
  answers: [json("Added; all members", MembersAnswer)],
  problems: [
    ...PROBLEMS_OF_CHANGES,
    "CONCORD_MEMBER_URLS_INVALID",
    "CONCORD_MEMBER_EXISTS",
    "CONCORD_PEER_URL_EXISTS",
    "CONCORD_PEER_NOT_EMPTY",
    "CONCORD_PEER_UNREACHABLE",
  ],
  async handle(exchange, { body }) {
    const { cluster } = exchange.services;
    sendMembers(exchange, await cluster.addLearner(exchange.principal(), await body(), TIMEOUT));
  },
});

const promote = operation({
  id: "promoteMember",
  method: "POST",
  path: "/admin/v1/members/{id}/promote",
  summary: "Gives a learner a vote",
  parameters: { id: MEMBER_PARAMETER },
  answers: [json("Promoted; all members", MembersAnswer)],
  problems: [...PROBLEMS_OF_CHANGES, "CONCORD_MEMBER_NOT_LEARNER", "CONCORD_LEARNER_NOT_READY"],
  async handle(exchange, { path }) {
    sendMembers(exchange, await exchange.services.cluster.promote(exchange.principal(), memberId(path.id), TIMEOUT));
  },
});

const remove = operation({
  id: "removeMember",
  method: "DELETE",
  path: "/admin/v1/members/{id}",
  summary: "Takes a member out",
  parameters: { id: MEMBER_PARAMETER },
  answers: [json("Removed; all members", MembersAnswer)],
  problems: PROBLEMS_OF_CHANGES,
  async handle(exchange, { path }) {
    sendMembers(exchange, await exchange.services.cluster.remove(exchange.principal(), memberId(path.id), TIMEOUT));
  },
});

const transfer = operation({
  id: "transferLeadership",
  method: "POST",
  path: "/admin/v1/transfer",
  summary: "Gives the leadership to another voter; without an id, to the one that is furthest",
  body: jsonBody(TransferRequest),
  answers: [json("The leader now", TransferAnswer)],
  problems: [
    ...PROBLEMS_OF_CLUSTER,
    "CONCORD_MEMBER_NOT_FOUND",
    "CONCORD_BAD_LEADER_TRANSFEREE",
    "CONCORD_TRANSFER_FAILED",
  ],
  async handle(exchange, { body }) {
    const { to } = await body();
    const leaderId = await exchange.services.cluster.transfer(exchange.principal(), to, TIMEOUT);
    exchange.send({ leaderId } satisfies TransferAnswer);
  },
});

const hash = operation({
  id: "getHash",
  method: "GET",
  path: "/admin/v1/hash",
  summary: "Hash of this member's store, equal on all members at an equal revision",
  query: { revision: wholeNumber("Revision the hash is of; 0: the newest") },
  answers: [json("The hash", HashAnswer)],
  problems: PROBLEMS_OF_READS,
  async handle(exchange, { query: { revision = 0 } }) {
    exchange.send(await exchange.services.maintenance.hash(exchange.principal(), revision, TIMEOUT));
  },
});

const compact = operation({
  id: "compact",
  method: "POST",
  path: "/admin/v1/compact",
  summary: "Discards the history before a revision; reads of it and from it on stay",
  body: jsonBody(CompactRequest),
  answers: [json("Discarded", CompactAnswer)],
  problems: ["CONCORD_COMPACTED", "CONCORD_FUTURE_REVISION", ...PROBLEMS_OF_WRITES],
  async handle(exchange, { body }) {
    const { revision: compactRevision } = await body();
    const { revision } = await exchange.services.kv.compact(exchange.principal(), compactRevision, TIMEOUT);
    exchange.send({ revision, compactRevision } satisfies CompactAnswer);
  },
});

const snapshot = operation({
  id: "getSnapshot",
  method: "GET",
  path: "/admin/v1/snapshot",
  summary: "Everything that is stored, at one revision",
  answers: [{ description: "The pages of the snapshot", content: { "application/octet-stream": BYTES } }],
  problems: PROBLEMS_OF_CLUSTER,
  handle: (exchange) => sendSnapshot(exchange, exchange.services.maintenance.snapshot(exchange.principal())),
});

/** What an operator needs of a member: for a certificate of the admin role, or, without TLS, this machine. */
export const ADMIN: OperationGroup = {
  name: "admin",
  description: "What an operator needs of a member: for a certificate of the admin role, or, without TLS, this machine",
  admit(exchange) {
    if (exchange.principal().kind === "anonymous") checkHost(exchange);
  },
  operations: [status, grant, add, promote, remove, transfer, hash, compact, snapshot],
};

function memberId(segment: Buffer): string {
  const id = segment.toString("latin1");
  if (/^[0-9a-f]{16}$/.test(id)) return id;
  throw badRequest("The member id must be 16 hex digits");
}

function sendMembers(exchange: Exchange, members: readonly Member[]): void {
  exchange.send({ members: members.map(memberInfo) } satisfies MembersAnswer);
}

function memberStatus(exchange: Exchange, options: DoorContext): MemberStatus {
  const info = exchange.services.cluster.administratorsInfo(exchange.principal());
  return {
    state: info.state,
    id: info.memberId,
    name: info.memberName,
    clusterId: info.clusterId,
    clusterUid: info.clusterUid,
    version: options.version,
    role: info.role,
    leaderId: info.leaderId,
    term: info.term,
    commitIndex: info.commitIndex,
    appliedIndex: info.appliedIndex,
    revision: info.revision,
    compactRevision: info.compactRevision,
    members: info.members.map((member) => ({
      ...memberInfo(member),
      matchIndex: member.matchIndex,
      active: member.active,
      caughtUp: member.caughtUp,
    })),
    machineVersion: info.machineVersion,
    databaseBytes: info.databaseBytes,
    alarms: info.alarms.map(({ member, alarm }) => `${alarm} at ${member}`),
    certificateNotAfter: options.certificateNotAfter(),
  };
}

function memberInfo(member: Member): MemberInfo {
  const { id, name, peerUrls, clientUrls, learner } = member;
  return { id, name, peerUrls: [...peerUrls], clientUrls: [...clientUrls], learner };
}

/** A failure after the first byte cuts the connection: the reader sees an unfinished chunked body, never a short snapshot. */
async function sendSnapshot(exchange: Exchange, pages: AsyncIterable<Uint8Array>): Promise<void> {
  const { response } = exchange;
  const iterator = pages[Symbol.asyncIterator]();
  const first = await iterator.next();
  response.writeHead(200, { "content-type": "application/octet-stream", "cache-control": "no-store" });
  async function* all(): AsyncGenerator<Uint8Array> {
    if (first.done !== true) yield first.value;
    yield* { [Symbol.asyncIterator]: () => iterator };
  }
  await pipeline(Readable.from(all(), { objectMode: false }), response);
}

/**
 * Without TLS only this machine may administer, and a web page must not be able to act for it: a page of another site
 * whose name was made to point here still sends its own name.
 */
function checkHost(exchange: Exchange): void {
  const { host = "", origin } = exchange.request.headers;
  const name = host.replace(/:\d+$/, "").toLowerCase();
  if (origin === undefined && ["localhost", "127.0.0.1", "[::1]"].includes(name)) return;
  throw new ConcordError("CONCORD_PERMISSION_DENIED");
}
