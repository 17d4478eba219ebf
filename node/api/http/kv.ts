import { ConcordError } from "../../client/errors.ts";
import {
  CONTENT_TYPE_MAX,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
  ROW_TTL_SECONDS_MAX,
  type Touched,
} from "../../client/rest.ts";
import { type Compare, type Operation, type Reply } from "../../machine/commands.ts";
import { putOf, rangeOf } from "../../service/operations.ts";
import { prefixRange } from "../../client/store/prefix-range.ts";
import { badRequest, printable, type Exchange } from "./exchange.ts";
import { flag, leaseId, READ_PARAMETERS, readMode, wholeNumber } from "./parameters.ts";
import { KEY_BYTES_MAX, NO_BYTES, pathKey, rowJson } from "./row.ts";

const PREFIX = "/api/v1/kv";
const OCTET_STREAM = "application/octet-stream";
/** A value is data: whoever stored a page has no script run by it. */
const SANDBOX = { "content-security-policy": "default-src 'none'; sandbox" };
const ZERO_BYTE = new Uint8Array(1);

/**
 * Keys and values over REST.
 *
 *     GET    /api/v1/kv/{key}?revision=&<read>         -> Row & { revision }; with `Accept: application/octet-stream`
 *                                                         the bare value. 404 when there is no such key.
 *     PUT    /api/v1/kv/{key}?lease=&ttlSeconds=         -> { revision }; the body is the value, byte for byte, and
 *                                                         Content-Type, unless it says nothing, the value's
 *     PATCH  /api/v1/kv/{key}?ttlSeconds=                -> { revision, touched }; how long the row lives from now on, 0
 *                                                         for ever: neither revision nor event. 404 when there is none.
 *     DELETE /api/v1/kv/{key}                           -> { revision, deleted }
 *     GET    /api/v1/kv?prefix=&limit=&cursor=&revision=&keysOnly=&<read>
 *                                                       -> { items, count, revision, cursor? }
 *
 * Everything behind `/api/v1/kv/` is the key: percent-encoding is undone once, slashes count as they are, nothing is
 * normalised. An ETag is the row's mod revision in quotes; `If-Match: "<mod revision>"` and `If-None-Match: *` make a
 * write conditional (412 when the condition does not hold). A write with an `Idempotency-Key` is done once however often
 * it is sent: later attempts get the first one's answer with `concord-replayed: true`, another request under the same key
 * gets 409.
 * `<read>` is `consistency` (`strong`, the default, `leader`, `eventual`), and for an eventual read `minRevision` and
 * `maxStalenessMs`, what it must hold to. The answer says what it is worth in `concord-consistency`, `concord-term` and
 * `concord-staleness-ms`, which is absent while that is not known.
 * All pages of a list show the revision of the first.
 */
export async function handleKv(exchange: Exchange, limits: { readonly valueBytesMax: number }): Promise<void> {
  if (exchange.path === PREFIX) {
    exchange.allowMethods("GET", "HEAD");
    await list(exchange);
    return;
  }
  exchange.allowMethods("GET", "HEAD", "PUT", "PATCH", "DELETE");
  const key = pathKey(exchange, PREFIX);
  if (exchange.method === "PUT") await put(exchange, key, limits.valueBytesMax);
  else if (exchange.method === "DELETE") await remove(exchange, key);
  else if (exchange.method === "PATCH") await touch(exchange, key);
  else await get(exchange, key);
}

export function isKvPath(path: string): boolean {
  return path === PREFIX || path.startsWith(`${PREFIX}/`);
}

async function get(exchange: Exchange, key: Buffer): Promise<void> {
  const query = exchange.query("revision", ...READ_PARAMETERS);
  const operation = rangeOf({ key, rangeEnd: NO_BYTES, revision: wholeNumber("revision", query.revision, 0) });
  const { level, options } = readMode(query);
  const { revision, reply } = exchange.read(
    await exchange.services.kv.range(exchange.principal(), operation, level, options),
  );
  const [row] = reply.rows;
  if (row === undefined) throw new ConcordError("CONCORD_KEY_NOT_FOUND");
  const headers = { etag: `"${row.modRevision}"`, "concord-revision": String(revision) };
  if (exchange.request.headers.accept === OCTET_STREAM) {
    exchange.sendBytes(row.value, { "content-type": row.contentType ?? OCTET_STREAM, ...SANDBOX, ...headers });
  } else {
    exchange.send({ ...rowJson(row, false), revision }, headers);
  }
}

async function put(exchange: Exchange, key: Buffer, valueBytesMax: number): Promise<void> {
  const { lease, ttlSeconds } = exchange.query("lease", "ttlSeconds");
  const compare = condition(exchange, key);
  const attached = lease === undefined ? 0n : leaseId("lease", lease.toString("latin1"));
  const operation = putOf({
    key,
    value: await exchange.body(valueBytesMax),
    lease: attached,
    ...(ttlSeconds === undefined ? {} : { ttlMs: ttlOf(ttlSeconds, 1) }),
    ...contentType(exchange),
  });
  const { revision } = await write(exchange, operation, compare);
  exchange.send({ revision }, { etag: `"${revision}"`, "concord-revision": String(revision) });
}

/** `application/octet-stream` says nothing of a value, and curl says that any body is a form. */
function contentType(exchange: Exchange): { readonly contentType?: string } {
  const type = exchange.request.headers["content-type"];
  if (type === undefined || type === OCTET_STREAM || type === "application/x-www-form-urlencoded") return {};
  if (type.length <= CONTENT_TYPE_MAX && /^[\x20-\x7e]+$/.test(type)) return { contentType: type };
  throw badRequest(
    `Content-Type is "${printable(type)}", expected 1 to ${CONTENT_TYPE_MAX} printable ASCII characters`,
  );
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

async function touch(exchange: Exchange, key: Buffer): Promise<void> {
  const { ttlSeconds } = exchange.query("ttlSeconds");
  if (ttlSeconds === undefined) throw badRequest("Expected ttlSeconds, 0 for a row without end");
  const operation: Operation = { type: "touch", key, ttlMs: ttlOf(ttlSeconds, 0) };
  const { revision, reply } = await write(exchange, operation, condition(exchange, key));
  if (reply.type !== "touch" || !reply.touched) throw new ConcordError("CONCORD_KEY_NOT_FOUND");
  exchange.send({ revision, touched: 1 } satisfies Touched, { "concord-revision": String(revision) });
}

function ttlOf(text: Buffer, minimum: 0 | 1): number {
  return 1000 * wholeNumber("ttlSeconds", text, minimum, ROW_TTL_SECONDS_MAX);
}

/** A plain operation, or one that a condition guards: then a txn of one compare and one operation. */
async function write(
  exchange: Exchange,
  operation: Extract<Operation, { type: "put" | "delete" | "touch" }>,
  compare: Compare | undefined,
): Promise<{ readonly revision: number; readonly reply: Reply }> {
  const { kv } = exchange.services;
  const principal = exchange.principal();
  const options = exchange.writeOptions();
  if (compare === undefined) {
    if (operation.type === "put") return exchange.written(await kv.put(principal, operation, options));
    if (operation.type === "touch") return exchange.written(await kv.touch(principal, operation, options));
    return exchange.written(await kv.delete(principal, operation, options));
  }
  const txn = { type: "txn", compares: [compare], success: [operation], failure: [] } as const;
  const { revision, reply } = exchange.written(await kv.txn(principal, txn, "strong", options));
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
  const query = exchange.query("prefix", "limit", "cursor", "revision", "keysOnly", ...READ_PARAMETERS);
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
  const { level, options } = readMode(query);
  const { revision, reply } = exchange.read(
    await exchange.services.kv.range(exchange.principal(), operation, level, options),
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
