import { isUtf8 } from "node:buffer";
import { ConcordError } from "../../client/errors.ts";
import {
  type Compare,
  type KeyValue,
  type Operation,
  type RangeOperation,
  type Reply,
} from "../../machine/commands.ts";
import { type ReadLevel } from "../../runtime/node-api.ts";
import { prefixRange } from "../../service/prefix-range.ts";
import { badRequest, percentDecode, printable, type Exchange } from "./exchange.ts";

/** Of the native doors; etcd's clients may use longer ones. */
export const KEY_BYTES_MAX = 1024;
export const LIST_LIMIT_MAX = 1000;
const LIST_LIMIT_DEFAULT = 100;
const PREFIX = "/api/v1/kv";
const NO_BYTES = new Uint8Array(0);
const ZERO_BYTE = new Uint8Array(1);

/**
 * A row in JSON. Keys and values are bytes, so they come as base64, always; what is valid UTF-8 comes as text beside it,
 * for people. Revisions are JSON numbers: they stay below 2^53.
 */
export interface RowJson {
  readonly key: string;
  readonly keyText?: string;
  readonly value?: string;
  readonly valueText?: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/**
 * Keys and values over REST.
 *
 *     GET    /api/v1/kv/{key}?revision=&consistency=   -> RowJson & { revision }; with `Accept: application/octet-stream`
 *                                                         the bare value. 404 when there is no such key.
 *     PUT    /api/v1/kv/{key}                           -> { revision }; the body is the value, byte for byte
 *     DELETE /api/v1/kv/{key}                           -> { revision, deleted }
 *     GET    /api/v1/kv?prefix=&limit=&cursor=&revision=&keysOnly=&consistency=
 *                                                       -> { items, count, revision, cursor? }
 *
 * Everything behind `/api/v1/kv/` is the key: percent-encoding is undone once, slashes count as they are, nothing is
 * normalised. An ETag is the row's mod revision in quotes; `If-Match: "<mod revision>"` and `If-None-Match: *` make a
 * write conditional (412 when the condition does not hold). `consistency` is `strong` (default) or `eventual`.
 * All pages of a list show the revision of the first.
 */
export async function handleKv(exchange: Exchange, limits: { readonly valueBytesMax: number }): Promise<void> {
  if (exchange.path === PREFIX) {
    exchange.allowMethods("GET", "HEAD");
    await list(exchange);
    return;
  }
  exchange.allowMethods("GET", "HEAD", "PUT", "DELETE");
  const key = percentDecode(exchange.path.slice(PREFIX.length + 1), "path");
  if (key.length === 0) throw new ConcordError("CONCORD_KEY_EMPTY");
  if (key.length > KEY_BYTES_MAX) {
    throw badRequest(`The key has ${key.length} bytes, at most ${KEY_BYTES_MAX} are allowed`);
  }
  if (exchange.method === "PUT") await put(exchange, key, limits.valueBytesMax);
  else if (exchange.method === "DELETE") await remove(exchange, key);
  else await get(exchange, key);
}

export function isKvPath(path: string): boolean {
  return path === PREFIX || path.startsWith(`${PREFIX}/`);
}

async function get(exchange: Exchange, key: Buffer): Promise<void> {
  const query = exchange.query("revision", "consistency");
  const operation = rangeOf({ key, rangeEnd: NO_BYTES, revision: wholeNumber("revision", query.revision, 0) });
  const { revision, reply } = await exchange.services.kv.range(
    exchange.principal(),
    operation,
    readLevel(query.consistency),
  );
  const [row] = reply.rows;
  if (row === undefined) throw new ConcordError("CONCORD_KEY_NOT_FOUND");
  const headers = { etag: `"${row.modRevision}"`, "concord-revision": String(revision) };
  if (exchange.request.headers.accept === "application/octet-stream") {
    exchange.sendBytes(row.value, { "content-type": "application/octet-stream", ...headers });
  } else {
    exchange.send({ ...rowJson(row, false), revision }, headers);
  }
}

async function put(exchange: Exchange, key: Buffer, valueBytesMax: number): Promise<void> {
  exchange.query();
  const compare = condition(exchange, key);
  const value = await exchange.body(valueBytesMax);
  const operation: Operation = {
    type: "put",
    key,
    value,
    lease: 0n,
    previous: false,
    ignoreValue: false,
    ignoreLease: false,
  };
  const { revision } = await write(exchange, operation, compare);
  exchange.send({ revision }, { etag: `"${revision}"`, "concord-revision": String(revision) });
}

async function remove(exchange: Exchange, key: Buffer): Promise<void> {
  exchange.query();
  const operation: Operation = { type: "delete", key, rangeEnd: NO_BYTES, previous: false };
  const { revision, reply } = await write(exchange, operation, condition(exchange, key));
  exchange.send(
    { revision, deleted: reply.type === "delete" ? reply.deleted : 0 },
    { "concord-revision": String(revision) },
  );
}

/** A plain operation, or one that a condition guards: then a txn of one compare and one operation. */
async function write(
  exchange: Exchange,
  operation: Extract<Operation, { type: "put" | "delete" }>,
  compare: Compare | undefined,
): Promise<{ readonly revision: number; readonly reply: Reply }> {
  const { kv } = exchange.services;
  const principal = exchange.principal();
  if (compare === undefined) {
    return operation.type === "put" ? kv.put(principal, operation) : kv.delete(principal, operation);
  }
  const txn = { type: "txn", compares: [compare], success: [operation], failure: [] } as const;
  const { revision, reply } = await kv.txn(principal, txn, "strong");
  const [done] = reply.replies;
  if (!reply.succeeded || done === undefined) throw new ConcordError("CONCORD_CONDITION_FAILED");
  return { revision, reply: done };
}

function condition(exchange: Exchange, key: Buffer): Compare | undefined {
  const { "if-match": ifMatch, "if-none-match": ifNoneMatch } = exchange.request.headers;
  if (ifMatch !== undefined && ifNoneMatch !== undefined)
    throw badRequest("If-Match and If-None-Match exclude each other");
  const shared = { key, rangeEnd: NO_BYTES } as const;
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== "*") throw badRequest(`If-None-Match is "${printable(ifNoneMatch)}", expected *`);
    return { ...shared, target: "create", result: "equal", operand: 0 };
  }
  if (ifMatch === undefined) return undefined;
  if (ifMatch === "*") return { ...shared, target: "create", result: "greater", operand: 0 };
  const match = /^"(\d{1,16})"$/.exec(ifMatch);
  const revision = Number(match?.[1] ?? NaN);
  if (!Number.isSafeInteger(revision) || revision < 1) {
    throw badRequest(`If-Match is ${printable(ifMatch)}, expected a mod revision in quotes, or *`);
  }
  return { ...shared, target: "mod", result: "equal", operand: revision };
}

async function list(exchange: Exchange): Promise<void> {
  const query = exchange.query("prefix", "limit", "cursor", "revision", "keysOnly", "consistency");
  const prefix = query.prefix ?? Buffer.alloc(0);
  if (prefix.length > KEY_BYTES_MAX)
    throw badRequest(`The prefix has ${prefix.length} bytes, at most ${KEY_BYTES_MAX} are allowed`);
  const limit = query.limit === undefined ? LIST_LIMIT_DEFAULT : wholeNumber("limit", query.limit, 1, LIST_LIMIT_MAX);
  const keysOnly = flag("keysOnly", query.keysOnly);
  if (query.cursor !== undefined && query.revision !== undefined)
    throw badRequest("cursor and revision exclude each other");
  const cursor = query.cursor === undefined ? undefined : decodeCursor(query.cursor, prefix);
  const operation = rangeOf({
    ...prefixRange(prefix),
    ...(cursor === undefined ? {} : { key: cursor.key }),
    revision: cursor?.revision ?? wholeNumber("revision", query.revision, 0),
    limit,
    keysOnly,
  });
  const { revision, reply } = await exchange.services.kv.range(
    exchange.principal(),
    operation,
    readLevel(query.consistency),
  );
  const shown = operation.revision === 0 ? revision : operation.revision;
  const last = reply.rows.at(-1);
  exchange.send({
    items: reply.rows.map((row) => rowJson(row, keysOnly)),
    // Of this page's first key and everything behind it.
    count: reply.count,
    revision: shown,
    ...(reply.more && last !== undefined ? { cursor: encodeCursor(shown, last.key) } : {}),
  });
}

function rangeOf(
  options: Pick<RangeOperation, "key" | "rangeEnd" | "revision"> & Partial<RangeOperation>,
): RangeOperation {
  return {
    type: "range",
    limit: 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...options,
  };
}

export function rowJson(row: KeyValue, keysOnly: boolean): RowJson {
  return {
    ...asText("key", row.key),
    ...(keysOnly ? {} : asText("value", row.value)),
    createRevision: row.createRevision,
    modRevision: row.modRevision,
    version: row.version,
  } as RowJson;
}

function asText(name: "key" | "value", bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const base64 = buffer.toString("base64");
  return isUtf8(buffer) ? { [name]: base64, [`${name}Text`]: buffer.toString("utf8") } : { [name]: base64 };
}

const CURSOR_VERSION = 1;

/** Revision and last key seen. It gives nothing that the query itself could not ask for, so it needs no signature. */
function encodeCursor(revision: number, lastKey: Uint8Array): string {
  const head = Buffer.alloc(9);
  head.writeUInt8(CURSOR_VERSION);
  head.writeBigUInt64BE(BigInt(revision), 1);
  return Buffer.concat([head, lastKey]).toString("base64url");
}

/** @returns The key to go on from: the smallest one behind the last key seen. */
function decodeCursor(text: Buffer, prefix: Buffer): { readonly revision: number; readonly key: Buffer } {
  const raw = text.toString("latin1");
  const bytes = Buffer.from(raw, "base64url");
  const known = /^[A-Za-z0-9_-]*$/.test(raw) && bytes.length > 9 && bytes[0] === CURSOR_VERSION;
  const revision = known ? Number(bytes.readBigUInt64BE(1)) : 0;
  if (!known || !Number.isSafeInteger(revision) || revision < 1) throw badRequest("The cursor is not one of this list");
  const lastKey = bytes.subarray(9);
  if (!lastKey.subarray(0, prefix.length).equals(prefix)) throw badRequest("The cursor belongs to another prefix");
  return { revision, key: Buffer.concat([lastKey, ZERO_BYTE]) };
}

function readLevel(value: Buffer | undefined): ReadLevel {
  const text = value?.toString("latin1") ?? "strong";
  if (text === "strong" || text === "eventual") return text;
  throw badRequest(`consistency is "${printable(text)}", expected strong or eventual`);
}

function flag(name: string, value: Buffer | undefined): boolean {
  const text = value?.toString("latin1") ?? "false";
  if (text === "true" || text === "false") return text === "true";
  throw badRequest(`${name} is "${printable(text)}", expected true or false`);
}

function wholeNumber(
  name: string,
  value: Buffer | undefined,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  if (value === undefined) return minimum;
  const text = value.toString("latin1");
  const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (number >= minimum && number <= maximum) return number;
  throw badRequest(`${name} is "${printable(text)}", expected a whole number from ${minimum} to ${maximum}`);
}
