import { type KeyValue, type Member, type Reply } from "../../machine/commands.ts";
import { type NodeHeader, type WatchBatch } from "../../runtime/node-api.ts";
import { type EventMessage, type KeyValueMessage, type ResponseHeader } from "./messages.ts";

/** @param revision - the store's, as of the answer. */
export function responseHeader(node: NodeHeader, revision: number): ResponseHeader {
  return {
    cluster_id: decimalId(node.clusterId),
    member_id: decimalId(node.memberId),
    revision,
    raft_term: node.term,
  };
}

/** 16 hex digits to a decimal uint64; the empty id to "0". */
export function decimalId(hex: string): string {
  const known = decimals.get(hex);
  if (known !== undefined) return known;
  const decimal = hex === "" ? "0" : BigInt(`0x${hex}`).toString();
  // Every response carries two ids of a handful; a cluster that sees more starts the table anew.
  if (decimals.size >= DECIMALS_MAX) decimals.clear();
  decimals.set(hex, decimal);
  return decimal;
}

const DECIMALS_MAX = 256;
const decimals = new Map<string, string>();

export function rangeResponse(reply: Extract<Reply, { type: "range" }>): object {
  return { kvs: reply.rows.map(keyValue), more: reply.more, count: reply.count };
}

export function putResponse(reply: Extract<Reply, { type: "put" }>): object {
  return reply.previous === undefined ? {} : { prev_kv: keyValue(reply.previous) };
}

export function deleteResponse(reply: Extract<Reply, { type: "delete" }>): object {
  return { deleted: reply.deleted, prev_kvs: reply.previous.map(keyValue) };
}

/** The answers inside carry a header with the revision alone, as etcd's do. */
export function txnResponse(reply: Extract<Reply, { type: "txn" }>, revision: number): object {
  const header = { revision };
  return {
    succeeded: reply.succeeded,
    responses: reply.replies.map((each) => {
      switch (each.type) {
        case "range":
          return { response_range: { header, ...rangeResponse(each) } };
        case "put":
          return { response_put: { header, ...putResponse(each) } };
        case "delete":
          return { response_delete_range: { header, ...deleteResponse(each) } };
        case "txn":
          return { response_txn: { header, ...txnResponse(each, revision) } };
        case "touch":
        case "compact":
        case "leaseGrant":
        case "leaseRevoke":
        case "leaseKeepAlive":
        case "leaseTimeToLive":
        case "ok":
          return {};
      }
    }),
  };
}

export function keyValue(row: KeyValue): KeyValueMessage {
  return {
    key: row.key,
    create_revision: row.createRevision,
    mod_revision: row.modRevision,
    version: row.version,
    value: row.value,
    lease: row.lease === 0n ? 0 : row.lease.toString(),
  };
}

export function eventMessage({ event, previous }: WatchBatch["events"][number]): EventMessage {
  return {
    type: event.type === "put" ? 0 : 1,
    kv: keyValue(event.row),
    ...(previous === undefined ? {} : { prev_kv: keyValue(previous) }),
  };
}

/** Bytes a row takes on the wire, roughly: what messages are cut by. */
export function eventBytes({ event, previous }: WatchBatch["events"][number]): number {
  const overhead = 64;
  const row = event.row.key.length + event.row.value.length;
  return overhead + row + (previous === undefined ? 0 : previous.key.length + previous.value.length);
}

/** A member that has not started yet has no name, as etcd's clients expect. */
export function memberMessage(member: Member): object {
  return {
    ID: decimalId(member.id),
    name: member.joined ? member.name : "",
    peerURLs: member.peerUrls,
    clientURLs: member.clientUrls,
    isLearner: member.learner,
  };
}
