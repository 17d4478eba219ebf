import { request as httpRequest } from "node:http";
import { ConcordError, isErrorCode } from "../../../node/client/errors.ts";
import { type BackendAnswer } from "../../../node/client/store/backend.ts";
import {
  type Change,
  type Compare,
  type Freshness,
  type KeyValue,
  type Operation,
  type OperationReply,
  type ReadLevel,
  type RequestSettings,
  type SessionReply,
  type SessionRequest,
} from "../../../node/client/wire/types.ts";
import { type Row, type TxnResult } from "../../../node/client/rest.ts";
import { type Door, errorOfText } from "./door.ts";
import { openServer } from "./member.ts";

const LACKS: Door["lacks"] = {
  sort: "rows come in the order of their keys",
  "revision filters": "rows are chosen by their keys alone",
  "count only": "an answer has rows and count together",
  "keep value or lease": "a put has a value, and the lease that it names",
  progress: "SSE has events of its own for it",
};

/** REST, with JSON bodies. */
export async function restDoor(): Promise<Door> {
  const server = await openServer();
  const { url } = server;
  return {
    name: "REST",
    lacks: LACKS,
    carryOut: (request, settings = {}) => carryOut(url, request, settings),
    watch: (request) => openWatch(url, request),
    close: () => server.close(),
  };
}

interface Answer {
  readonly body: Record<string, unknown> & { readonly revision?: number };
  readonly headers: Headers;
}

async function send(
  url: string,
  method: string,
  path: string,
  options: {
    readonly body?: unknown;
    readonly bytes?: Uint8Array;
    readonly settings?: RequestSettings;
    readonly type?: string;
  } = {},
): Promise<Answer> {
  const { settings = {}, bytes, body, type } = options;
  const { level, minRevision, maxStalenessMs, idempotencyKey } = settings;
  const query = new URLSearchParams();
  if (level !== undefined) query.set("consistency", level);
  if (minRevision !== undefined) query.set("minRevision", String(minRevision));
  if (maxStalenessMs !== undefined) query.set("maxStalenessMs", String(maxStalenessMs));
  const separator = path.includes("?") ? "&" : "?";
  const answer = await fetch(`${url}${path}${query.size === 0 ? "" : `${separator}${query.toString()}`}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(type === undefined ? {} : { "content-type": type }),
      ...(idempotencyKey === undefined ? {} : { "idempotency-key": Buffer.from(idempotencyKey).toString("latin1") }),
    },
    ...(bytes === undefined ? {} : { body: Buffer.from(bytes) }),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const parsed = (await answer.json()) as Answer["body"];
  if (answer.ok) return { body: parsed, headers: answer.headers };
  const { code, detail, message, compactRevision } = parsed;
  // The JSON gateway speaks as etcd does.
  if (typeof message === "string") throw errorOfText(message);
  if (!isErrorCode(code)) throw new Error(`${method} ${path} gave ${answer.status} without a code`);
  throw new ConcordError(code, String(detail), { details: { compactRevision } });
}

async function carryOut(url: string, request: SessionRequest, settings: RequestSettings): Promise<BackendAnswer> {
  const hex = (id: bigint): string => BigInt.asUintN(64, id).toString(16).padStart(16, "0");
  const { body, headers } = await ((): Promise<Answer> => {
    switch (request.type) {
      case "put": {
        if (request.previous) return txn(url, [], [request], [], settings);
        const lease = request.lease === 0n ? "" : `&lease=${hex(request.lease)}`;
        const ttl = request.ttlMs === undefined ? "" : `&ttlSeconds=${request.ttlMs / 1000}`;
        const path = `/api/v1/kv/${percent(request.key)}?${`${lease}${ttl}`.slice(1)}`;
        const type = request.contentType === undefined ? {} : { type: request.contentType };
        return send(url, "PUT", path, { bytes: request.value, settings, ...type });
      }
      case "txn":
        return txn(url, request.compares, request.success, request.failure, settings);
      case "range":
      case "delete":
      case "touch":
        return txn(url, [], [request], [], settings);
      case "history": {
        const { fromRevision, toRevision, limit } = request;
        const bounds = [
          ["from", fromRevision],
          ["to", toRevision],
          ["limit", limit],
        ] as const;
        const query = bounds.filter(([, value]) => value > 0).map(([name, value]) => `${name}=${value}`);
        return send(url, "GET", `/api/v1/history/${percent(request.key)}?${query.join("&")}`);
      }
      case "compact":
        return send(url, "POST", "/v3/kv/compaction", { body: { revision: request.revision } });
      case "leaseGrant": {
        const id = request.id === 0n ? {} : { id: hex(request.id) };
        return send(url, "POST", "/api/v1/leases", { body: { ttlSeconds: request.ttlSeconds, ...id }, settings });
      }
      case "leaseRevoke":
        return send(url, "DELETE", `/api/v1/leases/${hex(request.id)}`);
      case "leaseKeepAlive":
        return send(url, "POST", `/api/v1/leases/${hex(request.id)}/keepalive`);
      case "leaseTimeToLive":
        return send(url, "GET", `/api/v1/leases/${hex(request.id)}?keys=${request.keys}`);
      case "leases":
        return send(url, "GET", "/api/v1/leases");
      case "writeRevision":
        return send(url, "GET", `/api/v1/idempotency/${percent(request.key)}`);
      default:
        throw new Error(`The suite asks for no ${request.type}`);
    }
  })().catch((error: unknown): Answer => {
    // What REST says by a status, the others say by an answer.
    const gone = ConcordError.is(error) && /^CONCORD_(LEASE_)?NOT_FOUND$/.test(error.code);
    if (!gone || !["leaseKeepAlive", "leaseTimeToLive", "writeRevision"].includes(request.type)) throw error;
    return { body: {}, headers: new Headers() };
  });
  const replayed = headers.get("concord-replayed") === "true";
  const level = headers.get("concord-consistency");
  const staleness = headers.get("concord-staleness-ms");
  const freshness: Freshness | undefined =
    level === null
      ? undefined
      : {
          level: level as ReadLevel,
          term: Number(headers.get("concord-term")),
          stalenessMs: staleness === null ? undefined : Number(staleness),
        };
  return { revision: body.revision ?? 0, reply: replyOf(request, body), replayed, freshness };
}

function txn(
  url: string,
  compares: readonly Compare[],
  success: readonly Operation[],
  failure: readonly Operation[],
  settings: RequestSettings,
): Promise<Answer> {
  return send(url, "POST", "/api/v1/txn", { body: txnJson(compares, success, failure), settings });
}

function txnJson(compares: readonly Compare[], success: readonly Operation[], failure: readonly Operation[]): object {
  return {
    compare: compares.map(compareJson),
    success: success.map(operationJson),
    failure: failure.map(operationJson),
  };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const idText = (id: bigint): string => BigInt.asUintN(64, id).toString(16).padStart(16, "0");
const rangeJson = ({ key, rangeEnd }: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }): object => ({
  key: base64(key),
  ...(rangeEnd.length === 0 ? {} : { rangeEnd: base64(rangeEnd) }),
});

function compareJson(compare: Compare): object {
  const names = { create: "createRevision", mod: "modRevision", version: "version", value: "value", lease: "lease" };
  const target = names[compare.target];
  const operand =
    compare.target === "value"
      ? base64(compare.operand)
      : compare.target === "lease"
        ? idText(compare.operand)
        : compare.operand;
  return { ...rangeJson(compare), target, result: compare.result, [target]: operand };
}

function operationJson(operation: Operation): object {
  switch (operation.type) {
    case "put":
      return {
        put: {
          key: base64(operation.key),
          value: base64(operation.value),
          previous: operation.previous,
          ...(operation.lease === 0n ? {} : { lease: idText(operation.lease) }),
          ...(operation.ttlMs === undefined ? {} : { ttlSeconds: operation.ttlMs / 1000 }),
          ...(operation.contentType === undefined ? {} : { contentType: operation.contentType }),
        },
      };
    case "range":
      return {
        get: {
          ...rangeJson(operation),
          revision: operation.revision,
          limit: operation.limit === 0 ? 1000 : operation.limit,
          keysOnly: operation.keysOnly,
        },
      };
    case "delete":
      return { delete: { ...rangeJson(operation), previous: operation.previous } };
    case "touch":
      return { touch: { key: base64(operation.key), ttlSeconds: operation.ttlMs / 1000 } };
    case "txn":
      return { txn: txnJson(operation.compares, operation.success, operation.failure) };
  }
}

const bytes = (text: string | undefined): Uint8Array => Uint8Array.from(Buffer.from(text ?? "", "base64"));

function keyValue(row: Partial<Row> & { readonly contentType?: string }): KeyValue {
  return {
    key: bytes(row.key),
    value: bytes(row.value),
    createRevision: row.createRevision ?? 0,
    modRevision: row.modRevision ?? 0,
    version: row.version ?? 0,
    lease: row.lease === undefined ? 0n : BigInt.asIntN(64, BigInt(`0x${row.lease}`)),
    ...(row.ttlSeconds === undefined ? {} : { ttlMs: 1000 * row.ttlSeconds }),
    ...(row.contentType === undefined ? {} : { contentType: row.contentType }),
  };
}

function operationReply(result: TxnResult): OperationReply {
  const { put, get, delete: remove, touch, txn: inner } = result;
  if (put !== undefined) return { type: "put", previous: put.previous && keyValue(put.previous) };
  if (get !== undefined) return { type: "range", rows: get.items.map(keyValue), count: get.count, more: get.more };
  if (remove !== undefined) return { type: "delete", deleted: remove.deleted, previous: remove.previous.map(keyValue) };
  if (touch !== undefined) return { type: "touch", touched: touch.touched };
  return { type: "txn", succeeded: inner?.succeeded === true, replies: (inner?.results ?? []).map(operationReply) };
}

function replyOf(request: SessionRequest, body: Answer["body"]): SessionReply {
  const results = (body["results"] ?? []) as readonly TxnResult[];
  switch (request.type) {
    case "put":
      return request.previous ? operationReply(results[0]!) : { type: "put", previous: undefined };
    case "txn":
      return { type: "txn", succeeded: body["succeeded"] === true, replies: results.map(operationReply) };
    case "range":
    case "delete":
    case "touch":
      return operationReply(results[0]!);
    case "history": {
      const items = (body["items"] ?? []) as readonly Partial<Row>[];
      return { type: "history", rows: items.map(keyValue), more: body["next"] !== undefined };
    }
    case "leaseGrant":
      return {
        type: "leaseGrant",
        id: BigInt.asIntN(64, BigInt(`0x${String(body["id"])}`)),
        ttlSeconds: Number(body["ttlSeconds"]),
      };
    case "leaseRevoke":
      return { type: "leaseRevoke", deleted: Number(body["deleted"]) };
    case "leaseKeepAlive":
      return { type: "leaseKeepAlive", ttlSeconds: Number(body["ttlSeconds"] ?? 0) };
    case "leaseTimeToLive": {
      const keys = ((body["keys"] ?? []) as readonly { readonly key: string }[]).map(({ key }) => bytes(key));
      const ttlSeconds = body["ttlSeconds"] as number | undefined;
      return { type: "leaseTimeToLive", ttlSeconds, grantedSeconds: Number(body["grantedTtlSeconds"] ?? 0), keys };
    }
    case "leases":
      return {
        type: "leases",
        ids: (body["leases"] as readonly { readonly id: string }[]).map(({ id }) =>
          BigInt.asIntN(64, BigInt(`0x${id}`)),
        ),
      };
    case "writeRevision":
      return { type: "writeRevision", writtenAt: body.revision };
    default:
      return { type: "compact" };
  }
}

const percent = (key: Uint8Array): string => Buffer.from(key).toString("hex").replaceAll(/../g, "%$&");

/** Server-Sent Events, read as they come. A range that is no prefix cannot be watched over REST. */
async function openWatch(url: string, request: Parameters<Door["watch"]>[0]): ReturnType<Door["watch"]> {
  const query = [
    `${request.rangeEnd.length === 0 ? "key" : "prefix"}=${percent(request.key)}`,
    ...(request.startRevision === 0 ? [] : [`revision=${request.startRevision}`]),
    ...(request.previous ? ["previous=true"] : []),
    ...(request.filterPut ? ["filter=noput"] : request.filterDelete ? ["filter=nodelete"] : []),
  ].join("&");
  const stop = new AbortController();
  const stream = await new Promise<NodeJS.ReadableStream>((resolve, reject) => {
    httpRequest(`${url}/api/v1/watch?${query}`, { signal: stop.signal }, resolve).on("error", reject).end();
  });
  stream.on("error", () => undefined);
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let text = "";
  const message = async (): Promise<{ readonly event: string; readonly data: Record<string, unknown> } | undefined> => {
    for (;;) {
      const end = text.indexOf("\n\n");
      if (end >= 0) {
        const lines = text.slice(0, end).split("\n");
        text = text.slice(end + 2);
        const field = (name: string): string =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
        if (field("event") !== "")
          return { event: field("event"), data: JSON.parse(field("data")) as Record<string, unknown> };
        continue;
      }
      const chunk = await chunks.next().catch(() => ({ done: true, value: undefined }) as const);
      if (chunk.done === true) return undefined;
      text += chunk.value.toString("utf8");
    }
  };
  // The first one is a mark of where it begins.
  await message();
  return {
    async next(): Promise<readonly Change[] | undefined> {
      for (;;) {
        const next = await message();
        if (next === undefined) return undefined;
        if (next.event === "compacted") {
          const { compactRevision } = next.data;
          throw new ConcordError("CONCORD_COMPACTED", undefined, { details: { compactRevision } });
        }
        if (next.event !== "change") continue;
        const { events, revision } = next.data as { readonly events: readonly WatchEvent[]; readonly revision: number };
        return events.map(({ type, row, key, previous }) => ({
          type,
          row: keyValue(row ?? { ...(key === undefined ? {} : { key }), modRevision: revision }),
          previous: previous && keyValue(previous),
        }));
      }
    },
    cancel: () => stop.abort(),
  };
}

interface WatchEvent {
  readonly type: "put" | "delete";
  readonly row?: Row;
  readonly key?: string;
  readonly previous?: Row;
}
