import {
  COMPARE_RESULTS,
  COMPARE_TARGETS,
  SORT_ORDERS,
  SORT_TARGETS,
  type Change,
  type Compare,
  type KeyValue,
  type Operation,
  type OperationReply,
} from "./types.ts";
import { WireError, type WireReader, type WireWriter } from "./fields.ts";

/** What a record is, and what an operation inside a txn is: the answer to a request has the same kind plus `ANSWER`. */
export const OPERATION_KIND = { range: 0x01, put: 0x02, delete: 0x03, touch: 0x04, txn: 0x05 } as const;

/** Deeper txns are refused by the store; this only keeps the reader's stack bounded. */
export const TXN_DEPTH_MAX = 64;
/** Operations and compares of one request, all txns inside counted; the store's own limits are lower. */
export const TXN_PARTS_MAX = 8192;

const EMPTY: Uint8Array = new Uint8Array(0);

/** Bounds what one request may unfold to: a few bytes of a frame become an object each. */
export interface Budget {
  parts: number;
}

export function writeOperation(writer: WireWriter, operation: Operation): void {
  switch (operation.type) {
    case "range":
      writer.bytes(1, operation.key).bytes(2, operation.rangeEnd);
      writer.number(3, operation.limit).number(4, operation.revision);
      writer.code(5, operation.sortTarget, SORT_TARGETS).code(6, operation.sortOrder, SORT_ORDERS);
      writer.flag(7, operation.keysOnly).flag(8, operation.countOnly);
      writer.number(9, operation.minModRevision).number(10, operation.maxModRevision);
      writer.number(11, operation.minCreateRevision).number(12, operation.maxCreateRevision);
      return;
    case "put":
      writer.bytes(1, operation.key).bytes(3, operation.value).id(4, operation.lease);
      writer.flag(5, operation.previous).flag(6, operation.ignoreValue).flag(7, operation.ignoreLease);
      writer.optional(8, operation.ttlMs).optionalText(9, operation.contentType);
      return;
    case "delete":
      writer.bytes(1, operation.key).bytes(2, operation.rangeEnd).flag(3, operation.previous);
      return;
    case "touch":
      writer.bytes(1, operation.key).number(3, operation.ttlMs);
      return;
    case "txn":
      for (const compare of operation.compares) writer.nested(1, (inner) => writeCompare(inner, compare));
      for (const each of operation.success) writer.nested(2, (inner) => writeTagged(inner, each));
      for (const each of operation.failure) writer.nested(3, (inner) => writeTagged(inner, each));
      return;
  }
}

function writeTagged(writer: WireWriter, operation: Operation): void {
  writeOperation(writer.u8(OPERATION_KIND[operation.type]), operation);
}

function writeCompare(writer: WireWriter, compare: Compare): void {
  writer.bytes(1, compare.key).bytes(2, compare.rangeEnd);
  writer.code(3, compare.target, COMPARE_TARGETS).code(4, compare.result, COMPARE_RESULTS);
  if (compare.target === "value") writer.bytes(5, compare.operand);
  else if (compare.target === "lease") writer.id(5, compare.operand);
  else writer.number(5, compare.operand);
}

/** Called for a field that no operation has: whoever reads a request's settings takes it, or says that it is unknown. */
export type OtherField = (reader: WireReader) => void;

const noOther: OtherField = (reader) => reader.unknown();

export function readOperation(
  reader: WireReader,
  kind: number,
  budget: Budget,
  other: OtherField = noOther,
  depth = 0,
): Operation | undefined {
  switch (kind) {
    case OPERATION_KIND.range:
      return readRange(reader, other);
    case OPERATION_KIND.put:
      return readPut(reader, other);
    case OPERATION_KIND.delete:
      return readDelete(reader, other);
    case OPERATION_KIND.touch:
      return readTouch(reader, other);
    case OPERATION_KIND.txn:
      return readTxn(reader, budget, other, depth);
    default:
      return undefined;
  }
}

function readRange(reader: WireReader, other: OtherField): Operation {
  let [key, rangeEnd, limit, revision] = [EMPTY, EMPTY, 0, 0];
  let [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision] = [0, 0, 0, 0];
  let [keysOnly, countOnly] = [false, false];
  let sortTarget: (typeof SORT_TARGETS)[number] = "key";
  let sortOrder: (typeof SORT_ORDERS)[number] = "none";
  while (reader.next()) {
    if (reader.tag === 1) key = reader.bytes();
    else if (reader.tag === 2) rangeEnd = reader.bytes();
    else if (reader.tag === 3) limit = reader.number();
    else if (reader.tag === 4) revision = reader.number();
    else if (reader.tag === 5) sortTarget = reader.code(SORT_TARGETS);
    else if (reader.tag === 6) sortOrder = reader.code(SORT_ORDERS);
    else if (reader.tag === 7) keysOnly = reader.flag();
    else if (reader.tag === 8) countOnly = reader.flag();
    else if (reader.tag === 9) minModRevision = reader.number();
    else if (reader.tag === 10) maxModRevision = reader.number();
    else if (reader.tag === 11) minCreateRevision = reader.number();
    else if (reader.tag === 12) maxCreateRevision = reader.number();
    else other(reader);
  }
  const revisions = { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision };
  return { type: "range", key, rangeEnd, limit, revision, sortTarget, sortOrder, keysOnly, countOnly, ...revisions };
}

function readPut(reader: WireReader, other: OtherField): Operation {
  let [key, value, lease] = [EMPTY, EMPTY, 0n];
  let [previous, ignoreValue, ignoreLease] = [false, false, false];
  let ttlMs: number | undefined;
  let contentType: string | undefined;
  while (reader.next()) {
    if (reader.tag === 1) key = reader.bytes();
    else if (reader.tag === 3) value = reader.bytes();
    else if (reader.tag === 4) lease = reader.id();
    else if (reader.tag === 5) previous = reader.flag();
    else if (reader.tag === 6) ignoreValue = reader.flag();
    else if (reader.tag === 7) ignoreLease = reader.flag();
    else if (reader.tag === 8) ttlMs = reader.number();
    else if (reader.tag === 9) contentType = reader.text();
    else other(reader);
  }
  const put = { type: "put", key, value, lease, previous, ignoreValue, ignoreLease } as const;
  return { ...put, ...given({ ttlMs, contentType }) };
}

function readDelete(reader: WireReader, other: OtherField): Operation {
  let [key, rangeEnd, previous] = [EMPTY, EMPTY, false];
  while (reader.next()) {
    if (reader.tag === 1) key = reader.bytes();
    else if (reader.tag === 2) rangeEnd = reader.bytes();
    else if (reader.tag === 3) previous = reader.flag();
    else other(reader);
  }
  return { type: "delete", key, rangeEnd, previous };
}

function readTouch(reader: WireReader, other: OtherField): Operation {
  let [key, ttlMs] = [EMPTY, 0];
  while (reader.next()) {
    if (reader.tag === 1) key = reader.bytes();
    else if (reader.tag === 3) ttlMs = reader.number();
    else other(reader);
  }
  return { type: "touch", key, ttlMs };
}

function readTxn(reader: WireReader, budget: Budget, other: OtherField, depth: number): Operation {
  if (depth >= TXN_DEPTH_MAX) throw new WireError(`Txns are nested deeper than ${TXN_DEPTH_MAX}`);
  const compares: Compare[] = [];
  const success: Operation[] = [];
  const failure: Operation[] = [];
  while (reader.next()) {
    if (reader.tag === 1) compares.push(readCompare(spend(reader, budget)));
    else if (reader.tag === 2) success.push(readTagged(spend(reader, budget), budget, depth));
    else if (reader.tag === 3) failure.push(readTagged(spend(reader, budget), budget, depth));
    else other(reader);
  }
  return { type: "txn", compares, success, failure };
}

function spend(reader: WireReader, budget: Budget): WireReader {
  budget.parts -= 1;
  if (budget.parts < 0) throw new WireError(`The txn has more than ${TXN_PARTS_MAX} operations and compares`);
  return reader.each();
}

function readTagged(reader: WireReader, budget: Budget, depth: number): Operation {
  const kind = reader.u8();
  const operation = readOperation(reader, kind, budget, noOther, depth + 1);
  if (operation !== undefined) return operation;
  throw new WireError(`Operation of kind ${kind} is not known here`, { unknown: true });
}

function readCompare(reader: WireReader): Compare {
  let [key, rangeEnd] = [EMPTY, EMPTY];
  let target: (typeof COMPARE_TARGETS)[number] = "version";
  let result: (typeof COMPARE_RESULTS)[number] = "equal";
  let operand: number | bigint | Uint8Array | undefined;
  while (reader.next()) {
    if (reader.tag === 1) key = reader.bytes();
    else if (reader.tag === 2) rangeEnd = reader.bytes();
    else if (reader.tag === 3) target = reader.code(COMPARE_TARGETS);
    else if (reader.tag === 4) result = reader.code(COMPARE_RESULTS);
    else if (reader.tag === 5)
      operand = target === "value" ? reader.bytes() : target === "lease" ? reader.id() : reader.number();
    else reader.unknown();
  }
  const shared = { key, rangeEnd, result };
  if (target === "value") return { ...shared, target, operand: operand instanceof Uint8Array ? operand : EMPTY };
  if (target === "lease") return { ...shared, target, operand: typeof operand === "bigint" ? operand : 0n };
  return { ...shared, target, operand: typeof operand === "number" ? operand : 0 };
}

export function writeRow(writer: WireWriter, row: KeyValue): void {
  writer.bytes(1, row.key).bytes(2, row.value).number(3, row.createRevision).number(4, row.modRevision);
  writer.number(5, row.version).id(6, row.lease).optional(7, row.ttlMs).optionalText(8, row.contentType);
}

export function readRow(reader: WireReader): KeyValue {
  let [key, value, lease] = [EMPTY, EMPTY, 0n];
  let [createRevision, modRevision, version] = [0, 0, 0];
  let ttlMs: number | undefined;
  let contentType: string | undefined;
  while (reader.next()) {
    if (reader.tag === 1) key = reader.bytes();
    else if (reader.tag === 2) value = reader.bytes();
    else if (reader.tag === 3) createRevision = reader.number();
    else if (reader.tag === 4) modRevision = reader.number();
    else if (reader.tag === 5) version = reader.number();
    else if (reader.tag === 6) lease = reader.id();
    else if (reader.tag === 7) ttlMs = reader.number();
    else if (reader.tag === 8) contentType = reader.text();
    else reader.unknown();
  }
  return { key, value, createRevision, modRevision, version, lease, ...given({ ttlMs, contentType }) };
}

/** Of a row or a put what is there: most have neither. */
function given(fields: { readonly ttlMs: number | undefined; readonly contentType: string | undefined }): {
  readonly ttlMs?: number;
  readonly contentType?: string;
} {
  const { ttlMs, contentType } = fields;
  return { ...(ttlMs === undefined ? {} : { ttlMs }), ...(contentType === undefined ? {} : { contentType }) };
}

export function writeChange(writer: WireWriter, { type, row, previous }: Change): void {
  writer.flag(1, type === "delete").nested(2, (inner) => writeRow(inner, row));
  if (previous !== undefined) writer.nested(3, (inner) => writeRow(inner, previous));
}

export function readChange(reader: WireReader): Change {
  let type: Change["type"] = "put";
  let row: KeyValue | undefined;
  let previous: KeyValue | undefined;
  while (reader.next()) {
    if (reader.tag === 1) {
      reader.flag();
      type = "delete";
    } else if (reader.tag === 2) row = readRow(reader.nested());
    else if (reader.tag === 3) previous = readRow(reader.nested());
    else reader.unknown();
  }
  if (row === undefined) throw new WireError("A change has no row");
  return { type, row, previous };
}

/** The reply to an operation, behind the revision (field 1) of an answer. */
export function writeOperationReply(writer: WireWriter, reply: OperationReply): void {
  switch (reply.type) {
    case "put": {
      const { previous } = reply;
      if (previous !== undefined) writer.nested(2, (inner) => writeRow(inner, previous));
      return;
    }
    case "range":
      for (const row of reply.rows) writer.nested(2, (inner) => writeRow(inner, row));
      writer.number(3, reply.count).flag(4, reply.more);
      return;
    case "delete":
      writer.number(2, reply.deleted);
      for (const row of reply.previous) writer.nested(3, (inner) => writeRow(inner, row));
      return;
    case "touch":
      writer.flag(2, reply.touched);
      return;
    case "txn":
      writer.flag(2, reply.succeeded);
      for (const each of reply.replies)
        writer.nested(3, (inner) => writeOperationReply(inner.u8(OPERATION_KIND[each.type]), each));
      return;
  }
}

export function readOperationReply(
  reader: WireReader,
  kind: number,
  other: OtherField = noOther,
): OperationReply | undefined {
  const rows: KeyValue[] = [];
  switch (kind) {
    case OPERATION_KIND.put: {
      while (reader.next())
        if (reader.tag === 2) rows.push(readRow(reader.nested()));
        else other(reader);
      return { type: "put", previous: rows[0] };
    }
    case OPERATION_KIND.range: {
      let [count, more] = [0, false];
      while (reader.next()) {
        if (reader.tag === 2) rows.push(readRow(reader.each()));
        else if (reader.tag === 3) count = reader.number();
        else if (reader.tag === 4) more = reader.flag();
        else other(reader);
      }
      return { type: "range", rows, count, more };
    }
    case OPERATION_KIND.delete: {
      let deleted = 0;
      while (reader.next()) {
        if (reader.tag === 2) deleted = reader.number();
        else if (reader.tag === 3) rows.push(readRow(reader.each()));
        else other(reader);
      }
      return { type: "delete", deleted, previous: rows };
    }
    case OPERATION_KIND.touch: {
      let touched = false;
      while (reader.next())
        if (reader.tag === 2) touched = reader.flag();
        else other(reader);
      return { type: "touch", touched };
    }
    case OPERATION_KIND.txn:
      return readTxnReply(reader, other);
    default:
      return undefined;
  }
}

function readTxnReply(reader: WireReader, other: OtherField): OperationReply {
  let succeeded = false;
  const replies: OperationReply[] = [];
  while (reader.next()) {
    if (reader.tag === 2) succeeded = reader.flag();
    else if (reader.tag === 3) {
      const inner = reader.each();
      const kind = inner.u8();
      const reply = readOperationReply(inner, kind);
      if (reply === undefined) throw new WireError(`Reply of kind ${kind} is not known here`, { unknown: true });
      replies.push(reply);
    } else other(reader);
  }
  return { type: "txn", succeeded, replies };
}
