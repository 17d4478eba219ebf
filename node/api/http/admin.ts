import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import {
  AddLearnerRequest,
  type CompactAnswer,
  CompactRequest,
  GrantRequest,
  TransferRequest,
  type MemberInfo,
  type MemberStatus,
} from "../../client/admin.ts";
import { ConcordError } from "../../client/errors.ts";
import { type Member } from "../../machine/commands.ts";
import { badRequest, type Exchange } from "./exchange.ts";
import { wholeNumber } from "./parameters.ts";

const PREFIX = "/admin/v1/";
/** A transfer waits for the election of the next leader, a change for its commit. */
const CHANGE_TIMEOUT_MS = 10_000;

export interface AdminOptions {
  /** Version of Concord. */
  readonly version: string;
  /** RFC 3339, empty without TLS. */
  readonly certificateNotAfter: () => string;
}

export function isAdminPath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** The admin door; its routes and bodies are described in client/admin.ts. */
export async function handleAdmin(exchange: Exchange, options: AdminOptions): Promise<void> {
  const principal = exchange.principal();
  if (principal.kind === "anonymous") checkHost(exchange);
  const { cluster, maintenance, kv } = exchange.services;
  const [resource = "", id, action, ...rest] = exchange.path.slice(PREFIX.length).split("/");
  const query: { readonly revision?: Buffer } = resource === "hash" ? exchange.query("revision") : exchange.query();
  if (rest.length > 0) throw exchange.noSuchRoute();
  const timeout = { timeoutMs: CHANGE_TIMEOUT_MS };

  if (resource === "members" && id !== undefined) {
    if (!/^[0-9a-f]{16}$/.test(id)) throw badRequest("The member id must be 16 hex digits");
    if (action === undefined) {
      exchange.allowMethods("DELETE");
      exchange.send({ members: (await cluster.remove(principal, id, timeout)).map(memberInfo) });
      return;
    }
    if (action !== "promote") throw exchange.noSuchRoute();
    exchange.allowMethods("POST");
    exchange.send({ members: (await cluster.promote(principal, id, timeout)).map(memberInfo) });
    return;
  }
  if (id !== undefined) throw exchange.noSuchRoute();

  switch (resource) {
    case "status":
      exchange.allowMethods("GET");
      exchange.send(memberStatus(exchange, options));
      return;
    case "grant":
      exchange.allowMethods("POST");
      await cluster.grant(principal, await exchange.json(GrantRequest));
      exchange.send(memberStatus(exchange, options));
      return;
    case "members": {
      exchange.allowMethods("POST");
      const request = await exchange.json(AddLearnerRequest);
      exchange.send({ members: (await cluster.addLearner(principal, request, timeout)).map(memberInfo) });
      return;
    }
    case "transfer": {
      exchange.allowMethods("POST");
      const { to } = await exchange.json(TransferRequest);
      exchange.send({ leaderId: await cluster.transfer(principal, to, timeout) });
      return;
    }
    case "hash":
      exchange.allowMethods("GET");
      exchange.send(await maintenance.hash(principal, wholeNumber("revision", query.revision, 0), timeout));
      return;
    case "compact": {
      exchange.allowMethods("POST");
      const { revision: compactRevision } = await exchange.json(CompactRequest);
      const { revision } = await kv.compact(principal, compactRevision, timeout);
      exchange.send({ revision, compactRevision } satisfies CompactAnswer);
      return;
    }
    case "snapshot":
      exchange.allowMethods("GET");
      await sendSnapshot(exchange, maintenance.snapshot(principal));
      return;
    default:
      throw exchange.noSuchRoute();
  }
}

function memberStatus(exchange: Exchange, options: AdminOptions): MemberStatus {
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
