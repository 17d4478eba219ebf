import {
  READ_LEVELS,
  type ClientMessage,
  type ReadLevel,
  type RequestSettings,
  type SessionRequest,
  type WatchRequest,
} from "./types.ts";
import { WireError, WireReader, WireWriter } from "./fields.ts";
import { OPERATION_KIND, readOperation, TXN_PARTS_MAX, writeOperation, type OtherField } from "./operations.ts";

/** Version of the protocol: the first message of both sides says it. */
export const PROTOCOL_VERSION = 1;
/** The WebSocket subprotocol. */
export const SUBPROTOCOL = "concord.v1";
/** Where a session is opened, on the port for clients. */
export const SESSION_PATH = "/api/v1/session";

/** Kinds of records that a client sends, beside those of operations. */
export const REQUEST_KIND = {
  ...OPERATION_KIND,
  hello: 0x40,
  compact: 0x06,
  writeRevision: 0x07,
  status: 0x08,
  history: 0x09,
  leaseGrant: 0x10,
  leaseRevoke: 0x11,
  leaseKeepAlive: 0x12,
  leaseTimeToLive: 0x13,
  leases: 0x14,
  lock: 0x15,
  unlock: 0x16,
  watch: 0x20,
  cancel: 0x21,
  progress: 0x22,
} as const;

/** A record: what it is, whose it is, and its fields. */
export interface WireRecord {
  readonly kind: number;
  readonly id: number;
  readonly fields: WireReader;
}

/**
 * The records of a frame, all of them or none: a frame is read to its end before anything in it is acted on.
 *
 * @throws WireError when it is no sequence of records, or one of more than `recordsMax`.
 */
export function readFrame(
  frame: Uint8Array,
  { recordsMax, tolerant }: { readonly recordsMax: number; readonly tolerant: boolean },
): readonly WireRecord[] {
  const reader = new WireReader(frame, { tolerant });
  const records: WireRecord[] = [];
  while (!reader.done) {
    if (records.length >= recordsMax) throw new WireError(`The frame has more than ${recordsMax} records`);
    const kind = reader.u8();
    const id = reader.varint();
    records.push({ kind, id, fields: reader.sized() });
  }
  if (records.length === 0) throw new WireError("The frame is empty");
  return records;
}

/** Adds a message to a frame. @throws WireError for a number that has no form on the wire. */
export function writeClientMessage(writer: WireWriter, message: ClientMessage): void {
  const { type, id } = message;
  const kind = REQUEST_KIND[type === "request" ? message.request.type : type];
  writer.u8(kind).varint(id);
  writer.sized((fields) => {
    if (message.type === "hello") fields.number(1, message.version);
    else if (message.type === "watch") writeWatch(fields, message.watch);
    else if (message.type === "request") {
      writeRequest(fields, message.request);
      writeSettings(fields, message.settings);
    }
  });
}

export function encodeClientMessages(messages: readonly ClientMessage[]): Uint8Array {
  const writer = new WireWriter();
  for (const message of messages) writeClientMessage(writer, message);
  return writer.finish();
}

function writeWatch(fields: WireWriter, watch: WatchRequest): void {
  fields.bytes(1, watch.key).bytes(2, watch.rangeEnd).number(3, watch.startRevision).flag(4, watch.previous);
  fields.flag(5, watch.filterPut).flag(6, watch.filterDelete).flag(7, watch.fragment);
}

function writeRequest(fields: WireWriter, request: SessionRequest): void {
  switch (request.type) {
    case "compact":
      fields.number(1, request.revision);
      return;
    case "history":
      fields.bytes(1, request.key).number(2, request.fromRevision).number(3, request.toRevision);
      fields.number(4, request.limit);
      return;
    case "writeRevision":
      fields.bytes(1, request.key);
      return;
    case "leaseGrant":
      fields.id(1, request.id).number(2, request.ttlSeconds);
      return;
    case "leaseRevoke":
    case "leaseKeepAlive":
      fields.id(1, request.id);
      return;
    case "leaseTimeToLive":
      fields.id(1, request.id).flag(2, request.keys);
      return;
    case "lock":
      fields.text(1, request.name).id(2, request.lease).number(3, request.ttlSeconds).number(4, request.waitMs);
      return;
    case "unlock":
      fields.text(1, request.name).id(2, request.lease);
      return;
    case "leases":
    case "status":
      return;
    default:
      writeOperation(fields, request);
  }
}

function writeSettings(fields: WireWriter, settings: RequestSettings): void {
  fields.code(32, settings.level ?? "strong", READ_LEVELS);
  fields.optional(33, settings.minRevision).optional(34, settings.maxStalenessMs);
  if (settings.idempotencyKey !== undefined) fields.presentBytes(35, settings.idempotencyKey);
  fields.optional(36, settings.timeoutMs);
}

/** @throws WireError when the fields are not those of the kind; the other records of the frame are not concerned. */
export function readClientMessage({ kind, id, fields }: WireRecord): ClientMessage {
  switch (kind) {
    case REQUEST_KIND.hello: {
      let version = 0;
      while (fields.next())
        if (fields.tag === 1) version = fields.number();
        else fields.unknown();
      return { type: "hello", id, version };
    }
    case REQUEST_KIND.watch:
      return { type: "watch", id, watch: readWatch(fields) };
    case REQUEST_KIND.cancel:
    case REQUEST_KIND.progress:
      while (fields.next()) fields.unknown();
      return { type: kind === REQUEST_KIND.cancel ? "cancel" : "progress", id };
    default: {
      const settings = new SettingsReader();
      const request = readRequest(fields, kind, settings.take);
      return { type: "request", id, request, settings: settings.result() };
    }
  }
}

/** @throws WireError when the frame or one of its messages is not right. */
export function decodeClientMessages(frame: Uint8Array): readonly ClientMessage[] {
  return readFrame(frame, { recordsMax: frame.length, tolerant: false }).map(readClientMessage);
}

function readWatch(fields: WireReader): WatchRequest {
  let [key, rangeEnd, startRevision] = [EMPTY, EMPTY, 0];
  let [previous, filterPut, filterDelete, fragment] = [false, false, false, false];
  while (fields.next()) {
    // Copies: a watch lives on, its frame need not.
    if (fields.tag === 1) key = Uint8Array.from(fields.bytes());
    else if (fields.tag === 2) rangeEnd = Uint8Array.from(fields.bytes());
    else if (fields.tag === 3) startRevision = fields.number();
    else if (fields.tag === 4) previous = fields.flag();
    else if (fields.tag === 5) filterPut = fields.flag();
    else if (fields.tag === 6) filterDelete = fields.flag();
    else if (fields.tag === 7) fragment = fields.flag();
    else fields.unknown();
  }
  return { key, rangeEnd, startRevision, previous, filterPut, filterDelete, fragment };
}

function readRequest(fields: WireReader, kind: number, other: OtherField): SessionRequest {
  const operation = readOperation(fields, kind, { parts: TXN_PARTS_MAX }, other);
  if (operation !== undefined) return operation;
  let [number, text, bytes] = [0, "", EMPTY];
  let [lease, keys, ttlSeconds, waitMs] = [0n, false, 0, 0];
  let [toRevision, limit] = [0, 0];
  switch (kind) {
    case REQUEST_KIND.history:
      while (fields.next())
        if (fields.tag === 1) bytes = fields.bytes();
        else if (fields.tag === 2) number = fields.number();
        else if (fields.tag === 3) toRevision = fields.number();
        else if (fields.tag === 4) limit = fields.number();
        else other(fields);
      return { type: "history", key: bytes, fromRevision: number, toRevision, limit };
    case REQUEST_KIND.compact:
      while (fields.next())
        if (fields.tag === 1) number = fields.number();
        else other(fields);
      return { type: "compact", revision: number };
    case REQUEST_KIND.writeRevision:
      while (fields.next())
        if (fields.tag === 1) bytes = fields.bytes();
        else other(fields);
      return { type: "writeRevision", key: bytes };
    case REQUEST_KIND.leaseGrant:
      while (fields.next())
        if (fields.tag === 1) lease = fields.id();
        else if (fields.tag === 2) ttlSeconds = fields.number();
        else other(fields);
      return { type: "leaseGrant", id: lease, ttlSeconds };
    case REQUEST_KIND.leaseRevoke:
    case REQUEST_KIND.leaseKeepAlive:
      while (fields.next())
        if (fields.tag === 1) lease = fields.id();
        else other(fields);
      return { type: kind === REQUEST_KIND.leaseRevoke ? "leaseRevoke" : "leaseKeepAlive", id: lease };
    case REQUEST_KIND.leaseTimeToLive:
      while (fields.next())
        if (fields.tag === 1) lease = fields.id();
        else if (fields.tag === 2) keys = fields.flag();
        else other(fields);
      return { type: "leaseTimeToLive", id: lease, keys };
    case REQUEST_KIND.lock:
      while (fields.next())
        if (fields.tag === 1) text = fields.text();
        else if (fields.tag === 2) lease = fields.id();
        else if (fields.tag === 3) ttlSeconds = fields.number();
        else if (fields.tag === 4) waitMs = fields.number();
        else other(fields);
      return { type: "lock", name: text, lease, ttlSeconds, waitMs };
    case REQUEST_KIND.unlock:
      while (fields.next())
        if (fields.tag === 1) text = fields.text();
        else if (fields.tag === 2) lease = fields.id();
        else other(fields);
      return { type: "unlock", name: text, lease };
    case REQUEST_KIND.leases:
    case REQUEST_KIND.status:
      while (fields.next()) other(fields);
      return { type: kind === REQUEST_KIND.leases ? "leases" : "status" };
    default:
      throw new WireError(`Request of kind ${kind} is not known here`, { unknown: true });
  }
}

/** The fields that every request may have, behind its own. */
class SettingsReader {
  #level: ReadLevel | undefined;
  #minRevision: number | undefined;
  #maxStalenessMs: number | undefined;
  #idempotencyKey: Uint8Array | undefined;
  #timeoutMs: number | undefined;

  readonly take: OtherField = (fields) => {
    if (fields.tag === 32) this.#level = fields.code(READ_LEVELS);
    else if (fields.tag === 33) this.#minRevision = fields.number();
    else if (fields.tag === 34) this.#maxStalenessMs = fields.number();
    else if (fields.tag === 35) this.#idempotencyKey = fields.bytes();
    else if (fields.tag === 36) this.#timeoutMs = fields.number();
    else fields.unknown();
  };

  result(): RequestSettings {
    return {
      // The level of a read that names none.
      ...(this.#level === undefined || this.#level === "strong" ? {} : { level: this.#level }),
      ...(this.#minRevision === undefined ? {} : { minRevision: this.#minRevision }),
      ...(this.#maxStalenessMs === undefined ? {} : { maxStalenessMs: this.#maxStalenessMs }),
      ...(this.#idempotencyKey === undefined ? {} : { idempotencyKey: this.#idempotencyKey }),
      ...(this.#timeoutMs === undefined ? {} : { timeoutMs: this.#timeoutMs }),
    };
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);
