import { unreachable } from "../machine/assert.ts";
import { type KeyValue, type Outcome, type RefusedReason, type Reply } from "../machine/commands.ts";
import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";
import { readCode, readFlags, readInteger, readList, TXN_DEPTH_MAX, writeInteger } from "./command-fields.ts";

/** Outcomes as bytes: the leader's answer to a member that forwarded a command. */
const REFUSED = 0;
const APPLIED = 1;
/** Applied at an earlier attempt. */
const REPLAYED = 2;

const REPLIES = [
  "put",
  "range",
  "delete",
  "txn",
  "compact",
  "ok",
  "leaseGrant",
  "leaseRevoke",
  "leaseKeepAlive",
  "leaseTimeToLive",
  "touch",
] as const;

/** The place in this list is the number on the wire: append only. */
const REASONS: readonly RefusedReason[] = [
  "keyEmpty",
  "keyTooLong",
  "valueTooLong",
  "tooManyOperations",
  "nestedTooDeep",
  "duplicateKey",
  "keyNotFound",
  "leaseNotFound",
  "leaseProvided",
  "valueProvided",
  "compacted",
  "futureRevision",
  "noSpace",
  "founding",
  "notFounded",
  "alreadyFounded",
  "unknownMember",
  "unknownVersion",
  "leaseExists",
  "leaseTtlTooLarge",
  "tooManyLeases",
  "idempotencyConflict",
  "tooManyRecords",
  "ttlTooLarge",
  "contentTypeInvalid",
  "numberInvalid",
];

export function encodeOutcome(outcome: Outcome): Uint8Array {
  const writer = new ByteWriter(64);
  writeOutcome(writer, outcome);
  return writer.finish();
}

/** Byte fields are views into `bytes`. @throws CodecError */
export function decodeOutcome(bytes: Uint8Array): Outcome {
  const reader = new ByteReader(bytes);
  const outcome = readOutcome(reader);
  reader.end();
  return outcome;
}

export function writeOutcome(writer: ByteWriter, outcome: Outcome): void {
  writer.u8(tagOf(outcome)).u53(outcome.revision);
  if (outcome.ok) {
    writeReply(writer, outcome.reply, 0);
    return;
  }
  writer.u8(REASONS.indexOf(outcome.reason));
  writeInteger(writer, outcome.compactRevision);
}

export function readOutcome(reader: ByteReader): Outcome {
  const tag = reader.u8();
  if (tag !== APPLIED && tag !== REFUSED && tag !== REPLAYED)
    throw new CodecError(`Outcome has tag ${tag}, known are 0 to 2`);
  const revision = reader.u53();
  if (tag === APPLIED) return { ok: true, revision, reply: readReply(reader, 0) };
  if (tag === REPLAYED) return { ok: true, revision, reply: readReply(reader, 0), replayed: true };
  return { ok: false, revision, reason: readCode(reader, REASONS), compactRevision: readInteger(reader) };
}

function tagOf(outcome: Outcome): number {
  if (!outcome.ok) return REFUSED;
  return outcome.replayed === true ? REPLAYED : APPLIED;
}

function writeReply(writer: ByteWriter, reply: Reply, depth: number): void {
  writer.u8(REPLIES.indexOf(reply.type));
  switch (reply.type) {
    case "put":
      writer.u8(reply.previous === undefined ? 0 : 1);
      if (reply.previous !== undefined) writeRow(writer, reply.previous);
      return;
    case "range":
      writer.u53(reply.count).u8(Number(reply.more));
      {
        writeRows(writer, reply.rows);
        return;
      }
    case "delete":
      writer.u53(reply.deleted);
      {
        writeRows(writer, reply.previous);
        return;
      }
    case "txn":
      if (depth >= TXN_DEPTH_MAX) throw new CodecError(`Txn is nested deeper than ${TXN_DEPTH_MAX}`);
      writer.u8(Number(reply.succeeded)).u32(reply.replies.length);
      for (const inner of reply.replies) writeReply(writer, inner, depth + 1);
      return;
    case "touch":
      writer.u8(Number(reply.touched));
      return;
    case "leaseGrant":
      writer.i64(reply.id).u53(reply.ttlSeconds);
      return;
    case "leaseRevoke":
      writer.u53(reply.deleted);
      return;
    case "leaseKeepAlive":
      writer.u32(reply.ttls.length);
      for (const ttl of reply.ttls) writer.u53(ttl);
      return;
    case "leaseTimeToLive":
      writeInteger(writer, reply.ttlSeconds);
      writer.u53(reply.grantedSeconds).u32(reply.keys.length);
      for (const key of reply.keys) writer.bytes(key);
      return;
    case "compact":
    case "ok":
      return;
    default:
      unreachable(reply);
  }
}

function readReply(reader: ByteReader, depth: number): Reply {
  const type = readCode(reader, REPLIES);
  switch (type) {
    case "put":
      return { type, previous: readFlags(reader, 1) === 0 ? undefined : readRow(reader) };
    case "range": {
      const count = reader.u53();
      const more = readFlags(reader, 1) !== 0;
      return { type, rows: readList(reader, readRow), count, more };
    }
    case "delete":
      return { type, deleted: reader.u53(), previous: readList(reader, readRow) };
    case "txn":
      if (depth >= TXN_DEPTH_MAX) throw new CodecError(`Txn is nested deeper than ${TXN_DEPTH_MAX}`);
      return {
        type,
        succeeded: readFlags(reader, 1) !== 0,
        replies: readList(reader, (from) => readReply(from, depth + 1)),
      };
    case "touch":
      return { type, touched: readFlags(reader, 1) !== 0 };
    case "leaseGrant":
      return { type, id: reader.i64(), ttlSeconds: reader.u53() };
    case "leaseRevoke":
      return { type, deleted: reader.u53() };
    case "leaseKeepAlive":
      return { type, ttls: readList(reader, (from) => from.u53()) };
    case "leaseTimeToLive":
      return {
        type,
        ttlSeconds: readInteger(reader),
        grantedSeconds: reader.u53(),
        keys: readList(reader, (from) => from.bytes()),
      };
    case "compact":
    case "ok":
      return { type };
    default:
      return unreachable(type);
  }
}

function writeRows(writer: ByteWriter, rows: readonly KeyValue[]): void {
  writer.u32(rows.length);
  for (const row of rows) writeRow(writer, row);
}

function writeRow(writer: ByteWriter, row: KeyValue): void {
  writer.u53(row.createRevision).u53(row.modRevision).u53(row.version).i64(row.lease).bytes(row.key).bytes(row.value);
  // One more than it is, as 0 stands for none.
  writer.u53(row.ttlMs === undefined ? 0 : row.ttlMs + 1).string(row.contentType ?? "");
}

function readRow(reader: ByteReader): KeyValue {
  const row = {
    createRevision: reader.u53(),
    modRevision: reader.u53(),
    version: reader.u53(),
    lease: reader.i64(),
    key: reader.bytes(),
    value: reader.bytes(),
  };
  const ttl = reader.u53();
  const contentType = reader.string();
  if (ttl === 0 && contentType === "") return row;
  return { ...row, ...(ttl === 0 ? {} : { ttlMs: ttl - 1 }), ...(contentType === "" ? {} : { contentType }) };
}
