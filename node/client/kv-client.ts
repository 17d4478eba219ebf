import { ConcordError } from "./errors.ts";
import { HttpConnection, type CallOptions, type ConnectionOptions } from "./http-connection.ts";
import { base64, escapeBytes, queryOf, restCall, type RestRequest } from "./rest-call.ts";
import {
  type Deleted,
  type History,
  type Row,
  type Touched,
  type TxnAnswer,
  type TxnRequest,
  type Written,
} from "./rest.ts";

/** A row as the REST door shows it: bytes as base64, and as text where they are valid UTF-8. */
export type KvRow = Readonly<Row>;

export interface KvList {
  readonly items: readonly KvRow[];
  readonly count: number;
  readonly revision: number;
  /** Present when there are more. */
  readonly cursor?: string;
}

export interface ReadOptions extends CallOptions {
  /** @default strong */
  readonly consistency?: "strong" | "leader" | "eventual" | undefined;
  /** What an eventual read must show at least: the revision of an earlier answer, so that time never goes back. */
  readonly minRevision?: number | undefined;
  /** What an eventual read must show: everything acknowledged this long ago. */
  readonly maxStalenessMs?: number | undefined;
  /** 0 or undefined: the newest. */
  readonly revision?: number | undefined;
}

export interface WriteOptions extends CallOptions {
  /** 1 to 255 bytes: the write is applied once, however often it is sent with this key. */
  readonly idempotencyKey?: string | undefined;
  /** Only when this is the row's mod revision; 0: only when there is no row. Else `CONCORD_CONDITION_FAILED`. */
  readonly ifRevision?: number | undefined;
}

export interface PutOptions extends WriteOptions {
  /** 16 hex digits. */
  readonly lease?: string | undefined;
  /** The row is deleted this long after the write. */
  readonly ttlSeconds?: number | undefined;
}

/**
 * Keys and values at one member, over REST. Rejects with ConcordError; nothing is retried. A write whose answer is lost
 * rejects with `CONCORD_OUTCOME_UNKNOWN`.
 *
 * @example
 * ```ts
 * import { KvClient } from "concord-kv/client";
 *
 * await using kv = new KvClient("http://127.0.0.1:2379");
 * const { revision } = await kv.put("greeting", "Hello", { ifRevision: 0 });
 * await kv.put("greeting", "Hello, Concord", { ifRevision: revision, idempotencyKey: "deploy-42" });
 * ```
 */
export class KvClient {
  readonly #connection: HttpConnection;

  /** @throws ConcordError `CONCORD_INVALID_ARGUMENT` when the URL is not `http(s)://host:port`. */
  constructor(url: string, options: ConnectionOptions = {}) {
    this.#connection = new HttpConnection(url, options);
  }

  /** @throws ConcordError `CONCORD_KEY_NOT_FOUND` */
  get(key: Uint8Array | string, options: ReadOptions = {}): Promise<KvRow & { readonly revision: number }> {
    return restCall(this.#connection, "GET", keyPath(key) + queryOf(readQuery(options)), {}, options);
  }

  /** One page of the keys that begin with `prefix`, in order; `count` is of all of them behind the cursor. */
  list(
    prefix: Uint8Array | string,
    options: ReadOptions & {
      readonly limit?: number | undefined;
      readonly cursor?: string | undefined;
      readonly keysOnly?: boolean | undefined;
    } = {},
  ): Promise<KvList> {
    const query = {
      prefix: escapeBytes(prefix),
      ...readQuery(options),
      limit: options.limit,
      keysOnly: options.keysOnly === true ? "true" : undefined,
      // A cursor carries its revision.
      ...(options.cursor === undefined ? {} : { cursor: options.cursor, revision: undefined }),
    };
    return restCall(this.#connection, "GET", `/api/v1/kv${queryOf(query)}`, {}, options);
  }

  /** What became of a key since the last compaction, newest first; `to` is the answer's `next` to go on. */
  history(
    key: Uint8Array | string,
    options: Omit<ReadOptions, "revision"> & {
      readonly from?: number | undefined;
      readonly to?: number | undefined;
      readonly limit?: number | undefined;
    } = {},
  ): Promise<History> {
    const { from, to, limit } = options;
    const query = queryOf({ ...readQuery(options), from, to, limit });
    return restCall(this.#connection, "GET", `/api/v1/history/${escapeBytes(key)}${query}`, {}, options);
  }

  put(key: Uint8Array | string, value: Uint8Array | string, options: PutOptions = {}): Promise<Written> {
    const query = queryOf({ lease: options.lease, ttlSeconds: options.ttlSeconds });
    return restCall(this.#connection, "PUT", keyPath(key) + query, { ...write(options), body: value }, options);
  }

  delete(key: Uint8Array | string, options: WriteOptions = {}): Promise<Deleted> {
    return restCall(this.#connection, "DELETE", keyPath(key), write(options), options);
  }

  /** All keys that begin with `prefix`, at one revision. */
  async deletePrefix(
    prefix: Uint8Array | string,
    options: Omit<WriteOptions, "ifRevision"> = {},
  ): Promise<Readonly<Deleted>> {
    const request: TxnRequest = { success: [{ delete: { key: base64(prefix), prefix: true } }] };
    const { revision, results } = await this.txn(request, options);
    const [result] = results;
    if (result?.delete !== undefined) return { revision, deleted: result.delete.deleted };
    throw new ConcordError("CONCORD_INTERNAL", "A delete was answered without a count");
  }

  /**
   * Sets how long a row lives from now on, without a revision and without an event.
   *
   * @param ttlSeconds - 0: without end
   * @throws ConcordError `CONCORD_KEY_NOT_FOUND`
   */
  touch(key: Uint8Array | string, ttlSeconds: number, options: WriteOptions = {}): Promise<Touched> {
    return restCall(this.#connection, "PATCH", keyPath(key) + queryOf({ ttlSeconds }), write(options), options);
  }

  txn(request: TxnRequest, options: Omit<WriteOptions, "ifRevision"> = {}): Promise<TxnAnswer> {
    return restCall(this.#connection, "POST", "/api/v1/txn", { ...write(options), json: request }, options);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function keyPath(key: Uint8Array | string): string {
  return `/api/v1/kv/${escapeBytes(key)}`;
}

function write({ idempotencyKey, ifRevision }: WriteOptions): RestRequest {
  return {
    headers: {
      ...(idempotencyKey === undefined ? {} : { "idempotency-key": headerText(idempotencyKey) }),
      ...(ifRevision === undefined
        ? {}
        : ifRevision === 0
          ? { "if-none-match": "*" }
          : { "if-match": `"${ifRevision}"` }),
    },
  };
}

/** A header carries bytes: those of the text in UTF-8. */
function headerText(text: string): string {
  const bytes = Buffer.from(text, "utf8").toString("latin1");
  // eslint-disable-next-line no-control-regex -- exactly those are meant
  if (!/[\u0000-\u001f\u007f]/.test(bytes) && bytes.trim() === bytes) return bytes;
  throw new ConcordError(
    "CONCORD_INVALID_ARGUMENT",
    "An idempotency key has no control characters, and no blanks at its ends",
  );
}

function readQuery(options: ReadOptions): Record<string, string | number | undefined> {
  const { revision = 0, consistency, minRevision, maxStalenessMs } = options;
  return { revision: revision === 0 ? undefined : revision, consistency, minRevision, maxStalenessMs };
}
