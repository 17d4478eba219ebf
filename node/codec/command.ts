import { unreachable } from "../machine/assert.ts";
import {
  type Command,
  type Compare,
  type CompareResult,
  type DeleteOperation,
  type FoundCommand,
  type Member,
  type Operation,
  type PutOperation,
  type RangeOperation,
  type SortOrder,
  type SortTarget,
  type TxnOperation,
} from "../machine/commands.ts";
import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";
import { readCode, readFlags, readInteger, readList, TXN_DEPTH_MAX, writeInteger } from "./command-fields.ts";

export { decodeOutcome, encodeOutcome, readOutcome, writeOutcome } from "./outcome.ts";

/**
 * Commands as bytes: a type byte, then the fields of the type in order. Used in log entries and between members, so the
 * numbers below never change their meaning; a new command or field takes a new number and a new machine version.
 */
const PUT = 1;
const RANGE = 2;
const DELETE = 3;
const TXN = 4;
const COMPACT = 5;
const FOUND = 6;
const PUBLISH = 7;
const ALARM = 8;
const RAISE_VERSION = 9;
const LEASE_GRANT = 10;
const LEASE_REVOKE = 11;
const LEASE_KEEP_ALIVE = 12;
const LEASE_EXPIRE = 13;
const LEASE_TIME_TO_LIVE = 14;
const ADVANCE_TIME = 15;
const TOUCH = 16;
const EXPIRE_ROWS = 17;

const SORT_TARGETS: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
const SORT_ORDERS: readonly SortOrder[] = ["none", "ascend", "descend"];
const COMPARE_RESULTS: readonly CompareResult[] = ["equal", "greater", "less", "notEqual"];
const COMPARE_TARGETS = ["version", "create", "mod", "lease", "value"] as const;
const ALARM_ACTIONS = ["set", "clear"] as const;
const ALARMS = ["noSpace"] as const;

/** Members of a founding list, and URLs of a member. */
export const LIST_LENGTH_MAX = 1000;

export function encodeCommand(command: Command): Uint8Array {
  const writer = new ByteWriter(128);
  writeCommand(writer, command);
  return writer.finish();
}

/** Byte fields are views into `bytes`. @throws CodecError */
export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new ByteReader(bytes);
  const command = readCommand(reader);
  reader.end();
  return command;
}

export function writeCommand(writer: ByteWriter, command: Command): void {
  switch (command.type) {
    case "put":
    case "range":
    case "delete":
    case "touch":
    case "txn": {
      writeOperation(writer, command, 0);
      return;
    }
    case "compact":
      writer.u8(COMPACT);
      {
        writeInteger(writer, command.revision);
        return;
      }
    case "found": {
      writeFound(writer, command);
      return;
    }
    case "publish":
      writer.u8(PUBLISH).id(command.member).string(command.name);
      writeStrings(writer, command.peerUrls);
      {
        writeStrings(writer, command.clientUrls);
        return;
      }
    case "alarm":
      writer.u8(ALARM).u8(ALARM_ACTIONS.indexOf(command.action)).u8(ALARMS.indexOf(command.alarm)).id(command.member);
      return;
    case "raiseVersion":
      writer.u8(RAISE_VERSION).u32(command.version);
      return;
    case "leaseGrant":
      writer.u8(LEASE_GRANT).i64(command.id);
      {
        writeInteger(writer, command.ttlSeconds);
        return;
      }
    case "leaseRevoke":
      writer.u8(LEASE_REVOKE).i64(command.id);
      return;
    case "leaseKeepAlive":
      writer.u8(LEASE_KEEP_ALIVE).u32(command.ids.length);
      for (const id of command.ids) writer.i64(id);
      return;
    case "leaseExpire":
      writer.u8(LEASE_EXPIRE).i64(command.id).u53(command.deadlineMs);
      return;
    case "leaseTimeToLive":
      writer.u8(LEASE_TIME_TO_LIVE).i64(command.id).u8(Number(command.keys));
      return;
    case "expireRows":
      writer.u8(EXPIRE_ROWS).u32(command.rows.length);
      for (const { key, endMs } of command.rows) writer.bytes(key).u53(endMs);
      return;
    case "advanceTime":
      writer.u8(ADVANCE_TIME);
      return;
    default:
      unreachable(command);
  }
}

export function readCommand(reader: ByteReader): Command {
  const type = reader.u8();
  switch (type) {
    case PUT:
    case RANGE:
    case DELETE:
    case TXN:
    case TOUCH:
      return readOperationOf(reader, type, 0);
    case COMPACT:
      return { type: "compact", revision: readInteger(reader) };
    case FOUND:
      return readFound(reader);
    case PUBLISH:
      return {
        type: "publish",
        member: reader.id(),
        name: reader.string(),
        peerUrls: readStrings(reader),
        clientUrls: readStrings(reader),
      };
    case ALARM:
      return {
        type: "alarm",
        action: readCode(reader, ALARM_ACTIONS),
        alarm: readCode(reader, ALARMS),
        member: reader.id(),
      };
    case RAISE_VERSION:
      return { type: "raiseVersion", version: reader.u32() };
    case LEASE_GRANT:
      return { type: "leaseGrant", id: reader.i64(), ttlSeconds: readInteger(reader) };
    case LEASE_REVOKE:
      return { type: "leaseRevoke", id: reader.i64() };
    case LEASE_KEEP_ALIVE:
      return { type: "leaseKeepAlive", ids: readList(reader, (from) => from.i64()) };
    case LEASE_EXPIRE:
      return { type: "leaseExpire", id: reader.i64(), deadlineMs: reader.u53() };
    case LEASE_TIME_TO_LIVE:
      return { type: "leaseTimeToLive", id: reader.i64(), keys: readFlags(reader, 1) !== 0 };
    case ADVANCE_TIME:
      return { type: "advanceTime" };
    case EXPIRE_ROWS:
      return { type: "expireRows", rows: readList(reader, (from) => ({ key: from.bytes(), endMs: from.u53() })) };
    default:
      throw new CodecError(`Command has type ${type}, this member knows 1 to ${EXPIRE_ROWS}`);
  }
}

/** A member as the data of the configuration entry that adds it. */
export function encodeMember(member: Member): Uint8Array {
  const writer = new ByteWriter(128);
  writeMember(writer, member);
  return writer.finish();
}

/** @throws CodecError */
export function decodeMember(bytes: Uint8Array): Member {
  const reader = new ByteReader(bytes);
  const member = readMember(reader);
  reader.end();
  return member;
}

function writeOperation(writer: ByteWriter, operation: Operation, depth: number): void {
  switch (operation.type) {
    case "put": {
      writePut(writer, operation);
      return;
    }
    case "range": {
      writeRange(writer, operation);
      return;
    }
    case "delete":
      writer.u8(DELETE).bytes(operation.key).bytes(operation.rangeEnd).u8(Number(operation.previous));
      return;
    case "touch":
      writer.u8(TOUCH).bytes(operation.key).u53(operation.ttlMs);
      return;
    case "txn": {
      writeTxn(writer, operation, depth);
      return;
    }
    default:
      unreachable(operation);
  }
}

function readOperationOf(reader: ByteReader, type: number, depth: number): Operation {
  switch (type) {
    case PUT:
      return readPut(reader);
    case RANGE:
      return readRange(reader);
    case DELETE:
      return readDelete(reader);
    case TXN:
      return readTxn(reader, depth);
    case TOUCH:
      return { type: "touch", key: reader.bytes(), ttlMs: reader.u53() };
    default:
      throw new CodecError(`Operation has type ${type}, this member knows 1 to ${TXN}`);
  }
}

const PUT_PREVIOUS = 1;
const PUT_IGNORE_VALUE = 2;
const PUT_IGNORE_LEASE = 4;
const PUT_TTL = 8;
const PUT_CONTENT_TYPE = 16;
const PUT_FLAGS = PUT_PREVIOUS | PUT_IGNORE_VALUE | PUT_IGNORE_LEASE | PUT_TTL | PUT_CONTENT_TYPE;

function writePut(writer: ByteWriter, put: PutOperation): void {
  const flags =
    (put.previous ? PUT_PREVIOUS : 0) |
    (put.ignoreValue ? PUT_IGNORE_VALUE : 0) |
    (put.ignoreLease ? PUT_IGNORE_LEASE : 0) |
    (put.ttlMs === undefined ? 0 : PUT_TTL) |
    (put.contentType === undefined ? 0 : PUT_CONTENT_TYPE);
  writer.u8(PUT).u8(flags).i64(put.lease).bytes(put.key).bytes(put.value);
  if (put.ttlMs !== undefined) writer.u53(put.ttlMs);
  if (put.contentType !== undefined) writer.string(put.contentType);
}

function readPut(reader: ByteReader): PutOperation {
  const flags = readFlags(reader, PUT_FLAGS);
  const lease = reader.i64();
  return {
    type: "put",
    key: reader.bytes(),
    value: reader.bytes(),
    lease,
    previous: (flags & PUT_PREVIOUS) !== 0,
    ignoreValue: (flags & PUT_IGNORE_VALUE) !== 0,
    ignoreLease: (flags & PUT_IGNORE_LEASE) !== 0,
    ...(flags & PUT_TTL ? { ttlMs: reader.u53() } : {}),
    ...(flags & PUT_CONTENT_TYPE ? { contentType: reader.string() } : {}),
  };
}

const RANGE_KEYS_ONLY = 1;
const RANGE_COUNT_ONLY = 2;

function writeRange(writer: ByteWriter, range: RangeOperation): void {
  const flags = (range.keysOnly ? RANGE_KEYS_ONLY : 0) | (range.countOnly ? RANGE_COUNT_ONLY : 0);
  writer
    .u8(RANGE)
    .u8(flags)
    .u8(SORT_TARGETS.indexOf(range.sortTarget))
    .u8(SORT_ORDERS.indexOf(range.sortOrder))
    .bytes(range.key)
    .bytes(range.rangeEnd);
  writeInteger(writer, range.limit);
  writeInteger(writer, range.revision);
  writeInteger(writer, range.minModRevision);
  writeInteger(writer, range.maxModRevision);
  writeInteger(writer, range.minCreateRevision);
  writeInteger(writer, range.maxCreateRevision);
}

function readRange(reader: ByteReader): RangeOperation {
  const flags = readFlags(reader, RANGE_KEYS_ONLY | RANGE_COUNT_ONLY);
  const sortTarget = readCode(reader, SORT_TARGETS);
  const sortOrder = readCode(reader, SORT_ORDERS);
  return {
    type: "range",
    key: reader.bytes(),
    rangeEnd: reader.bytes(),
    limit: readInteger(reader),
    revision: readInteger(reader),
    sortTarget,
    sortOrder,
    keysOnly: (flags & RANGE_KEYS_ONLY) !== 0,
    countOnly: (flags & RANGE_COUNT_ONLY) !== 0,
    minModRevision: readInteger(reader),
    maxModRevision: readInteger(reader),
    minCreateRevision: readInteger(reader),
    maxCreateRevision: readInteger(reader),
  };
}

function readDelete(reader: ByteReader): DeleteOperation {
  return { type: "delete", key: reader.bytes(), rangeEnd: reader.bytes(), previous: readFlags(reader, 1) !== 0 };
}

function writeTxn(writer: ByteWriter, txn: TxnOperation, depth: number): void {
  if (depth >= TXN_DEPTH_MAX) throw new CodecError(`Txn is nested deeper than ${TXN_DEPTH_MAX}`);
  writer.u8(TXN).u32(txn.compares.length);
  for (const compare of txn.compares) writeCompare(writer, compare);
  for (const branch of [txn.success, txn.failure]) {
    writer.u32(branch.length);
    for (const operation of branch) writeOperation(writer, operation, depth + 1);
  }
}

function readTxn(reader: ByteReader, depth: number): TxnOperation {
  if (depth >= TXN_DEPTH_MAX) throw new CodecError(`Txn is nested deeper than ${TXN_DEPTH_MAX}`);
  const compares = readList(reader, readCompare);
  const readBranchOperation = (from: ByteReader): Operation => readOperationOf(from, from.u8(), depth + 1);
  return {
    type: "txn",
    compares,
    success: readList(reader, readBranchOperation),
    failure: readList(reader, readBranchOperation),
  };
}

function writeCompare(writer: ByteWriter, compare: Compare): void {
  writer
    .u8(COMPARE_TARGETS.indexOf(compare.target))
    .u8(COMPARE_RESULTS.indexOf(compare.result))
    .bytes(compare.key)
    .bytes(compare.rangeEnd);
  if (compare.target === "value") writer.bytes(compare.operand);
  else if (compare.target === "lease") writer.i64(compare.operand);
  else writeInteger(writer, compare.operand);
}

function readCompare(reader: ByteReader): Compare {
  const target = readCode(reader, COMPARE_TARGETS);
  const result = readCode(reader, COMPARE_RESULTS);
  const key = reader.bytes();
  const rangeEnd = reader.bytes();
  if (target === "value") return { key, rangeEnd, result, target, operand: reader.bytes() };
  if (target === "lease") return { key, rangeEnd, result, target, operand: reader.i64() };
  return { key, rangeEnd, result, target, operand: readInteger(reader) };
}

function writeFound(writer: ByteWriter, command: FoundCommand): void {
  writer.u8(FOUND).id(command.clusterId).string(command.clusterUid).u32(command.size);
  writeMember(writer, command.founder);
  writer.u32(command.awaited.length);
  for (const { name, peerUrls } of command.awaited) {
    writer.string(name);
    writeStrings(writer, peerUrls);
  }
}

function readFound(reader: ByteReader): FoundCommand {
  return {
    type: "found",
    clusterId: reader.id(),
    clusterUid: reader.string(),
    size: reader.u32(),
    founder: readMember(reader),
    awaited: readList(reader, (from) => ({ name: from.string(), peerUrls: readStrings(from) }), LIST_LENGTH_MAX),
  };
}

const MEMBER_LEARNER = 1;
const MEMBER_JOINED = 2;

function writeMember(writer: ByteWriter, member: Member): void {
  const flags = (member.learner ? MEMBER_LEARNER : 0) | (member.joined ? MEMBER_JOINED : 0);
  writer.id(member.id).u8(flags).string(member.name);
  writeStrings(writer, member.peerUrls);
  writeStrings(writer, member.clientUrls);
}

function readMember(reader: ByteReader): Member {
  const id = reader.id();
  const flags = readFlags(reader, MEMBER_LEARNER | MEMBER_JOINED);
  return {
    id,
    name: reader.string(),
    peerUrls: readStrings(reader),
    clientUrls: readStrings(reader),
    learner: (flags & MEMBER_LEARNER) !== 0,
    joined: (flags & MEMBER_JOINED) !== 0,
  };
}

function writeStrings(writer: ByteWriter, values: readonly string[]): void {
  writer.u32(values.length);
  for (const value of values) writer.string(value);
}

function readStrings(reader: ByteReader): string[] {
  return readList(reader, (from) => from.string(), LIST_LENGTH_MAX);
}
