import { ERROR_TABLE, isErrorCode } from "../errors.ts";
import {
  READ_LEVELS,
  WATCH_ENDS,
  type Change,
  type Freshness,
  type KeyValue,
  type ReadLevel,
  type ServerMessage,
  type SessionReply,
  type SessionStatus,
  type WatchEnd,
} from "./types.ts";
import { WireError, type WireReader, WireWriter } from "./fields.ts";
import {
  OPERATION_KIND,
  readChange,
  readOperationReply,
  readRow,
  writeChange,
  writeOperationReply,
  writeRow,
  type OtherField,
} from "./operations.ts";
import { readFrame, REQUEST_KIND, type WireRecord } from "./requests.ts";

/** Added to the kind of a request, it is the kind of its answer. */
export const ANSWER = 0x80;
/** Kinds of records that a server sends, beside the answers. */
export const ANSWER_KIND = {
  welcome: ANSWER + REQUEST_KIND.hello,
  watching: ANSWER + REQUEST_KIND.watch,
  ended: ANSWER + REQUEST_KIND.cancel,
  progress: ANSWER + REQUEST_KIND.progress,
  changes: 0xa3,
  error: 0xff,
} as const;

/** Adds a message to a frame. */
export function writeServerMessage(writer: WireWriter, message: ServerMessage): void {
  const { type, id } = message;
  writer.u8(type === "answer" ? ANSWER + REQUEST_KIND[message.reply.type] : ANSWER_KIND[type]).varint(id);
  writer.sized((fields) => {
    switch (message.type) {
      case "answer":
        fields.number(1, message.revision);
        writeReply(fields, message.reply);
        if (message.freshness !== undefined) writeFreshness(fields, message.freshness);
        fields.flag(35, message.replayed);
        return;
      case "error": {
        const { retryable, outcome } = ERROR_TABLE[message.code];
        fields.text(1, message.code).text(2, message.message);
        fields.number(3, message.revision).number(4, message.compactRevision);
        fields.flag(5, retryable).flag(6, outcome === "unknown");
        return;
      }
      case "welcome":
        fields.number(1, message.version).id(2, idOf(message.clusterId)).id(3, idOf(message.memberId));
        fields.number(4, message.revision).number(5, message.limits.frameBytesMax);
        fields.number(6, message.limits.requestsMax).number(7, message.limits.watchesMax);
        return;
      case "changes":
        fields.number(1, message.revision).flag(2, message.fragment);
        for (const change of message.changes) fields.nested(3, (inner) => writeChange(inner, change));
        return;
      case "watching":
      case "progress":
        fields.number(1, message.revision);
        return;
      case "ended":
        fields.code(1, message.reason, WATCH_ENDS).number(2, message.nextRevision);
        return;
    }
  });
}

export function encodeServerMessages(messages: readonly ServerMessage[]): Uint8Array {
  const writer = new WireWriter();
  for (const message of messages) writeServerMessage(writer, message);
  return writer.finish();
}

function writeFreshness(fields: WireWriter, { level, term, stalenessMs }: Freshness): void {
  fields.present(32, READ_LEVELS.indexOf(level)).number(33, term).optional(34, stalenessMs);
}

function writeReply(fields: WireWriter, reply: SessionReply): void {
  switch (reply.type) {
    case "compact":
      return;
    case "history":
      for (const row of reply.rows) fields.nested(2, (inner) => writeRow(inner, row));
      fields.flag(3, reply.more);
      return;
    case "leaseGrant":
      fields.id(2, reply.id).number(3, reply.ttlSeconds);
      return;
    case "leaseRevoke":
    case "unlock":
      fields.number(2, reply.deleted);
      return;
    case "leaseKeepAlive":
      fields.number(2, reply.ttlSeconds);
      return;
    case "leaseTimeToLive":
      fields.optional(2, reply.ttlSeconds).number(3, reply.grantedSeconds);
      for (const key of reply.keys) fields.presentBytes(4, key);
      return;
    case "leases":
      for (const id of reply.ids) fields.id(2, id);
      return;
    case "lock":
      fields.bytes(2, reply.key).id(3, reply.lease).number(4, reply.fencingToken);
      return;
    case "writeRevision":
      fields.optional(2, reply.writtenAt);
      return;
    case "status":
      writeStatus(fields, reply.status);
      return;
    default:
      writeOperationReply(fields, reply);
  }
}

function writeStatus(fields: WireWriter, status: SessionStatus): void {
  fields.id(2, idOf(status.clusterId)).id(3, idOf(status.memberId)).id(4, idOf(status.leaderId));
  fields.text(5, status.state).text(6, status.memberName).text(7, status.role).text(8, status.version);
  fields.number(9, status.term).number(10, status.compactRevision).number(11, status.databaseBytes);
  fields.number(12, status.keys).number(13, status.leases);
  for (const alarm of status.alarms) fields.nested(14, (inner) => inner.text(1, alarm));
}

/** @throws WireError */
export function readServerMessage({ kind, id, fields }: WireRecord): ServerMessage | undefined {
  switch (kind) {
    case ANSWER_KIND.welcome:
      return readWelcome(fields, id);
    case ANSWER_KIND.error:
      return readError(fields, id);
    case ANSWER_KIND.changes:
      return readChanges(fields, id);
    case ANSWER_KIND.watching:
    case ANSWER_KIND.progress: {
      let revision = 0;
      while (fields.next())
        if (fields.tag === 1) revision = fields.number();
        else fields.unknown();
      return { type: kind === ANSWER_KIND.watching ? "watching" : "progress", id, revision };
    }
    case ANSWER_KIND.ended: {
      let reason: WatchEnd = "cancelled";
      let nextRevision = 0;
      while (fields.next())
        if (fields.tag === 1) reason = fields.code(WATCH_ENDS);
        else if (fields.tag === 2) nextRevision = fields.number();
        else fields.unknown();
      return { type: "ended", id, reason, nextRevision };
    }
    default:
      return readAnswer(fields, kind - ANSWER, id);
  }
}

/**
 * The messages of a frame. Of kinds that are not known here there are none.
 *
 * @throws WireError when the frame or one of its messages is not right.
 */
export function decodeServerMessages(frame: Uint8Array): readonly ServerMessage[] {
  return readFrame(frame, { recordsMax: frame.length, tolerant: true }).flatMap((record) => {
    const message = readServerMessage(record);
    return message === undefined ? [] : [message];
  });
}

function readWelcome(fields: WireReader, id: number): ServerMessage {
  let [version, revision, frameBytesMax, requestsMax, watchesMax] = [0, 0, 0, 0, 0];
  let [clusterId, memberId] = ["", ""];
  while (fields.next()) {
    if (fields.tag === 1) version = fields.number();
    else if (fields.tag === 2) clusterId = idText(fields.id());
    else if (fields.tag === 3) memberId = idText(fields.id());
    else if (fields.tag === 4) revision = fields.number();
    else if (fields.tag === 5) frameBytesMax = fields.number();
    else if (fields.tag === 6) requestsMax = fields.number();
    else if (fields.tag === 7) watchesMax = fields.number();
    else fields.unknown();
  }
  const limits = { frameBytesMax, requestsMax, watchesMax };
  return { type: "welcome", id, version, clusterId, memberId, revision, limits };
}

function readError(fields: WireReader, id: number): ServerMessage {
  let [code, message, revision, compactRevision] = ["", "", 0, 0];
  let unknown = false;
  while (fields.next()) {
    if (fields.tag === 1) code = fields.text();
    else if (fields.tag === 2) message = fields.text();
    else if (fields.tag === 3) revision = fields.number();
    else if (fields.tag === 4) compactRevision = fields.number();
    else if (fields.tag === 5) fields.flag();
    else if (fields.tag === 6) unknown = fields.flag();
    else fields.unknown();
  }
  // A newer server may have codes that are not known here; what it says of the outcome counts all the same.
  const known = isErrorCode(code) ? code : unknown ? "CONCORD_OUTCOME_UNKNOWN" : "CONCORD_INTERNAL";
  return { type: "error", id, code: known, message, revision, compactRevision };
}

function readChanges(fields: WireReader, id: number): ServerMessage {
  let [revision, fragment] = [0, false];
  const changes: Change[] = [];
  while (fields.next()) {
    if (fields.tag === 1) revision = fields.number();
    else if (fields.tag === 2) fragment = fields.flag();
    else if (fields.tag === 3) changes.push(readChange(fields.each()));
    else fields.unknown();
  }
  return { type: "changes", id, revision, fragment, changes };
}

function readAnswer(fields: WireReader, kind: number, id: number): ServerMessage | undefined {
  let [revision, term, replayed] = [0, 0, false];
  let level: ReadLevel | undefined;
  let stalenessMs: number | undefined;
  const other: OtherField = (each) => {
    if (each.tag === 1) revision = each.number();
    else if (each.tag === 32) level = each.code(READ_LEVELS);
    else if (each.tag === 33) term = each.number();
    else if (each.tag === 34) stalenessMs = each.number();
    else if (each.tag === 35) replayed = each.flag();
    else each.unknown();
  };
  const reply = readReply(fields, kind, other);
  if (reply === undefined) return undefined;
  const freshness = level === undefined ? undefined : { level, term, stalenessMs };
  return { type: "answer", id, revision, reply, replayed, freshness };
}

function readReply(fields: WireReader, kind: number, other: OtherField): SessionReply | undefined {
  if (Object.values<number>(OPERATION_KIND).includes(kind)) return readOperationReply(fields, kind, other);
  let [number, second, lease] = [0, 0, 0n];
  let optional: number | undefined;
  let key: Uint8Array = new Uint8Array(0);
  switch (kind) {
    case REQUEST_KIND.compact:
      while (fields.next()) other(fields);
      return { type: "compact" };
    case REQUEST_KIND.history: {
      const rows: KeyValue[] = [];
      let more = false;
      while (fields.next())
        if (fields.tag === 2) rows.push(readRow(fields.each()));
        else if (fields.tag === 3) more = fields.flag();
        else other(fields);
      return { type: "history", rows, more };
    }
    case REQUEST_KIND.leaseGrant:
      while (fields.next())
        if (fields.tag === 2) lease = fields.id();
        else if (fields.tag === 3) number = fields.number();
        else other(fields);
      return { type: "leaseGrant", id: lease, ttlSeconds: number };
    case REQUEST_KIND.leaseRevoke:
    case REQUEST_KIND.unlock:
    case REQUEST_KIND.leaseKeepAlive:
      while (fields.next())
        if (fields.tag === 2) number = fields.number();
        else other(fields);
      if (kind === REQUEST_KIND.leaseKeepAlive) return { type: "leaseKeepAlive", ttlSeconds: number };
      return { type: kind === REQUEST_KIND.unlock ? "unlock" : "leaseRevoke", deleted: number };
    case REQUEST_KIND.leaseTimeToLive: {
      const keys: Uint8Array[] = [];
      while (fields.next())
        if (fields.tag === 2) optional = fields.number();
        else if (fields.tag === 3) number = fields.number();
        else if (fields.tag === 4) keys.push(fields.eachBytes());
        else other(fields);
      return { type: "leaseTimeToLive", ttlSeconds: optional, grantedSeconds: number, keys };
    }
    case REQUEST_KIND.leases: {
      const ids: bigint[] = [];
      while (fields.next())
        if (fields.tag === 2) ids.push(fields.eachId());
        else other(fields);
      return { type: "leases", ids };
    }
    case REQUEST_KIND.lock:
      while (fields.next())
        if (fields.tag === 2) key = fields.bytes();
        else if (fields.tag === 3) lease = fields.id();
        else if (fields.tag === 4) second = fields.number();
        else other(fields);
      return { type: "lock", key, lease, fencingToken: second };
    case REQUEST_KIND.writeRevision:
      while (fields.next())
        if (fields.tag === 2) optional = fields.number();
        else other(fields);
      return { type: "writeRevision", writtenAt: optional };
    case REQUEST_KIND.status:
      return { type: "status", status: readStatus(fields, other) };
    default:
      return undefined;
  }
}

function readStatus(fields: WireReader, other: OtherField): SessionStatus {
  let [clusterId, memberId, leaderId] = ["", "", ""];
  let [state, memberName, role, version] = ["", "", "", ""];
  let [term, compactRevision, databaseBytes, keys, leases] = [0, 0, 0, 0, 0];
  const alarms: string[] = [];
  while (fields.next()) {
    if (fields.tag === 2) clusterId = idText(fields.id());
    else if (fields.tag === 3) memberId = idText(fields.id());
    else if (fields.tag === 4) leaderId = idText(fields.id());
    else if (fields.tag === 5) state = fields.text();
    else if (fields.tag === 6) memberName = fields.text();
    else if (fields.tag === 7) role = fields.text();
    else if (fields.tag === 8) version = fields.text();
    else if (fields.tag === 9) term = fields.number();
    else if (fields.tag === 10) compactRevision = fields.number();
    else if (fields.tag === 11) databaseBytes = fields.number();
    else if (fields.tag === 12) keys = fields.number();
    else if (fields.tag === 13) leases = fields.number();
    else if (fields.tag === 14) {
      const inner = fields.each();
      while (inner.next())
        if (inner.tag === 1) alarms.push(inner.text());
        else inner.unknown();
    } else other(fields);
  }
  const ids = { clusterId, memberId, leaderId };
  const numbers = { term, compactRevision, databaseBytes, keys, leases };
  return { ...ids, state, memberName, role, version, ...numbers, alarms };
}

/** 16 hex digits, or empty for none. */
function idText(id: bigint): string {
  return id === 0n ? "" : BigInt.asUintN(64, id).toString(16).padStart(16, "0");
}

function idOf(text: string): bigint {
  if (!/^([0-9a-f]{16})?$/.test(text)) throw new WireError(`"${text}" is no id of 16 hex digits`);
  return text === "" ? 0n : BigInt.asIntN(64, BigInt(`0x${text}`));
}
