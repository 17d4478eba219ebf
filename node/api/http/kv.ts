import { ConcordError } from "../../client/errors.ts";
import {
  CONTENT_TYPE_MAX,
  Deleted,
  KEY_BYTES_MAX,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
  RowPage,
  RowRead,
  Touched,
  TTL_SECONDS_MAX,
  Written,
} from "../../client/rest.ts";
import { type Compare, type Operation as MachineOperation, type Reply } from "../../machine/commands.ts";
import { putOf, rangeOf } from "../../service/operations.ts";
import { prefixRange } from "../../client/store/prefix-range.ts";
import { badRequest, printable, type Exchange } from "./exchange.ts";
import {
  BYTES,
  json,
  operation,
  type OperationGroup,
  PROBLEMS_OF_READS,
  PROBLEMS_OF_WRITES,
  READ_HEADERS,
  VALUE_BODY,
} from "./operation.ts";
import { bytes, flag, KEY_PARAMETER, LEASE_QUERY, READ_QUERY, readMode, wholeNumber } from "./parameters.ts";
import { NO_BYTES, pathKey, rowJson } from "./row.ts";

const OCTET_STREAM = "application/octet-stream";
/** A value is data: whoever stored a page has no script run by it. */
const SANDBOX = { "content-security-policy": "default-src 'none'; sandbox" };
const ZERO_BYTE = new Uint8Array(1);
/** A version, a revision and a key in base64url. */
const CURSOR_BYTES_MAX = Math.ceil(((9 + KEY_BYTES_MAX) * 4) / 3);
const KEY_PATH = { path: "/api/v1/kv/{key}", parameters: { key: KEY_PARAMETER } } as const;
const WRITE_HEADERS = ["Idempotency-Key", "If-Match", "If-None-Match"] as const;
const WRITTEN_HEADERS = ["Concord-Revision", "Concord-Replayed"] as const;
const PROBLEMS_OF_KEY_WRITES = ["CONCORD_KEY_EMPTY", "CONCORD_CONDITION_FAILED", ...PROBLEMS_OF_WRITES] as const;
const PAST = wholeNumber("Revision to read at; 0: the newest");

const list = operation({
  id: "listKeys",
  method: "GET",
  path: "/api/v1/kv",
  summary: "Rows whose keys begin with a prefix, in order of their keys, page by page",
  description: "All pages show the revision of the first.",
  query: {
    prefix: bytes("Empty or absent: every key", 0, KEY_BYTES_MAX),
    limit: wholeNumber(`Most rows of a page; ${LIST_LIMIT_DEFAULT} when absent`, {
      minimum: 1,
      maximum: LIST_LIMIT_MAX,
    }),
    cursor: bytes("`cursor` of the page before, with the same prefix and without `revision`", 1, CURSOR_BYTES_MAX),
    revision: PAST,
    keysOnly: flag("Rows without their values"),
    ...READ_QUERY,
  },
  answers: [json("A page", RowPage, READ_HEADERS)],
  problems: PROBLEMS_OF_READS,
  async handle(exchange, { query }) {
    const { prefix = Buffer.alloc(0), limit = LIST_LIMIT_DEFAULT, keysOnly = false } = query;
    if (query.cursor !== undefined && query.revision !== undefined)
      throw badRequest("cursor and revision exclude each other");
    const cursor = query.cursor === undefined ? undefined : decodeCursor(query.cursor, prefix);
    const range = rangeOf({
      ...prefixRange(prefix),
      ...(cursor === undefined ? {} : { key: cursor.key }),
      revision: cursor?.revision ?? query.revision ?? 0,
      limit,
      keysOnly,
    });
    const { level, options } = readMode(query);
    const { revision, reply } = exchange.read(
      await exchange.services.kv.range(exchange.principal(), range, level, options),
    );
    const shown = range.revision === 0 ? revision : range.revision;
    const last = reply.rows.at(-1);
    exchange.send({
      items: reply.rows.map((row) => rowJson(row, keysOnly)),
      count: reply.count,
      revision: shown,
      ...(reply.more && last !== undefined ? { cursor: encodeCursor(shown, last.key) } : {}),
    } satisfies RowPage);
  },
});

const get = operation({
  id: "getKey",
  method: "GET",
  ...KEY_PATH,
  summary: "The row of a key",
  description:
    "With `Accept: application/octet-stream` the answer is the bare value, under the content type of its put.",
  query: { revision: PAST, ...READ_QUERY },
  answers: [
    {
      description: "The row",
      content: { "application/json": RowRead, "*/*": BYTES },
      headers: ["ETag", "Concord-Revision", ...READ_HEADERS],
    },
  ],
  problems: ["CONCORD_KEY_EMPTY", "CONCORD_KEY_NOT_FOUND", ...PROBLEMS_OF_READS],
  async handle(exchange, { path, query }) {
    const range = rangeOf({ key: pathKey(path.key), rangeEnd: NO_BYTES, revision: query.revision ?? 0 });
    const { level, options } = readMode(query);
    const { revision, reply } = exchange.read(
      await exchange.services.kv.range(exchange.principal(), range, level, options),
    );
    const [row] = reply.rows;
    if (row === undefined) throw new ConcordError("CONCORD_KEY_NOT_FOUND");
    const headers = { etag: `"${row.modRevision}"`, "concord-revision": String(revision) };
    if (exchange.request.headers.accept === OCTET_STREAM) {
      exchange.sendBytes(row.value, { "content-type": row.contentType ?? OCTET_STREAM, ...SANDBOX, ...headers });
    } else {
      exchange.send({ ...rowJson(row, false), revision } satisfies RowRead, headers);
    }
  },
});

const put = operation({
  id: "putKey",
  method: "PUT",
  ...KEY_PATH,
  summary: "Writes a key; the body is the value, byte for byte",
  description:
    "Content-Type becomes that of the value, unless it says nothing of it: `application/octet-stream`, and " +
    "`application/x-www-form-urlencoded`, which curl sends with any body.",
  query: {
    lease: LEASE_QUERY,
    ttlSeconds: wholeNumber("The row is deleted this long after the write; absent: never", {
      minimum: 1,
      maximum: TTL_SECONDS_MAX,
    }),
  },
  headers: WRITE_HEADERS,
  body: VALUE_BODY,
  answers: [json("Written", Written, ["ETag", ...WRITTEN_HEADERS])],
  problems: ["CONCORD_LEASE_NOT_FOUND", ...PROBLEMS_OF_KEY_WRITES],
  async handle(exchange, { path, query, body }) {
    const key = pathKey(path.key);
    const compare = condition(exchange, key);
    const { lease = 0n, ttlSeconds } = query;
    const command = putOf({
      key,
      value: await body(),
      lease,
      ...(ttlSeconds === undefined ? {} : { ttlMs: 1000 * ttlSeconds }),
      ...contentType(exchange),
    });
    const { revision } = await write(exchange, command, compare);
    exchange.send({ revision } satisfies Written, { etag: `"${revision}"`, "concord-revision": String(revision) });
  },
});

const touch = operation({
  id: "touchKey",
  method: "PATCH",
  ...KEY_PATH,
  summary: "Sets how long a row lives from now on",
  description: "Neither a revision nor an event comes of it.",
  query: { ttlSeconds: { ...wholeNumber("0: without end", { maximum: TTL_SECONDS_MAX }), required: true } },
  headers: WRITE_HEADERS,
  answers: [json("Touched", Touched, WRITTEN_HEADERS)],
  problems: ["CONCORD_KEY_NOT_FOUND", ...PROBLEMS_OF_KEY_WRITES],
  async handle(exchange, { path, query }) {
    const key = pathKey(path.key);
    if (query.ttlSeconds === undefined) throw badRequest("Expected ttlSeconds, 0 for a row without end");
    const command: MachineOperation = { type: "touch", key, ttlMs: 1000 * query.ttlSeconds };
    const { revision, reply } = await write(exchange, command, condition(exchange, key));
    if (reply.type !== "touch" || !reply.touched) throw new ConcordError("CONCORD_KEY_NOT_FOUND");
    exchange.send({ revision, touched: 1 } satisfies Touched, { "concord-revision": String(revision) });
  },
});

const remove = operation({
  id: "deleteKey",
  method: "DELETE",
  ...KEY_PATH,
  summary: "Deletes a key; one that is not there is no error",
  headers: WRITE_HEADERS,
  answers: [json("Deleted, or not there", Deleted, WRITTEN_HEADERS)],
  problems: PROBLEMS_OF_KEY_WRITES,
  async handle(exchange, { path }) {
    const key = pathKey(path.key);
    const command: MachineOperation = { type: "delete", key, rangeEnd: NO_BYTES, previous: false };
    const { revision, reply } = await write(exchange, command, condition(exchange, key));
    exchange.send({ revision, deleted: reply.type === "delete" ? reply.deleted : 0 } satisfies Deleted, {
      "concord-revision": String(revision),
    });
  },
});

/** Everything behind `/api/v1/kv/` is the key. An ETag is the row's mod revision in quotes. */
export const KV: OperationGroup = {
  name: "kv",
  description: "Keys and values",
  operations: [get, put, touch, remove, list],
};

function contentType(exchange: Exchange): { readonly contentType?: string } {
  const type = exchange.request.headers["content-type"];
  if (type === undefined || type === OCTET_STREAM || type === "application/x-www-form-urlencoded") return {};
  if (type.length <= CONTENT_TYPE_MAX && /^[\x20-\x7e]+$/.test(type)) return { contentType: type };
  throw badRequest(
    `Content-Type is "${printable(type)}", expected 1 to ${CONTENT_TYPE_MAX} printable ASCII characters`,
  );
}

/** A plain operation, or one that a condition guards: then a txn of one compare and one operation. */
async function write(
  exchange: Exchange,
  command: Extract<MachineOperation, { type: "put" | "delete" | "touch" }>,
  compare: Compare | undefined,
): Promise<{ readonly revision: number; readonly reply: Reply }> {
  const { kv } = exchange.services;
  const principal = exchange.principal();
  const options = exchange.writeOptions();
  if (compare === undefined) {
    if (command.type === "put") return exchange.written(await kv.put(principal, command, options));
    if (command.type === "touch") return exchange.written(await kv.touch(principal, command, options));
    return exchange.written(await kv.delete(principal, command, options));
  }
  const txn = { type: "txn", compares: [compare], success: [command], failure: [] } as const;
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
