import { HttpConnection, type CallOptions, type ConnectionOptions } from "./http-connection.ts";
import { type History, type Row } from "./rest.ts";

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

/** Keys and values at one member, over REST. Rejects with ConcordError; nothing is retried. */
export class KvClient {
  readonly #connection: HttpConnection;

  constructor(url: string, options: ConnectionOptions = {}) {
    this.#connection = new HttpConnection(url, options);
  }

  /** @throws ConcordError `CONCORD_KEY_NOT_FOUND` */
  get(key: Uint8Array | string, options: ReadOptions = {}): Promise<KvRow & { readonly revision: number }> {
    return this.#json("GET", keyPath(key) + queryOf(readQuery(options)), options);
  }

  /** One page of the keys that begin with `prefix`, in order. */
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
      limit: numberText(options.limit),
      keysOnly: options.keysOnly === true ? "true" : undefined,
      // A cursor carries its revision.
      ...(options.cursor === undefined ? {} : { cursor: options.cursor, revision: undefined }),
    };
    return this.#json("GET", `/api/v1/kv${queryOf(query)}`, options);
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
    const query = queryOf({
      ...readQuery(options),
      from: numberText(from),
      to: numberText(to),
      limit: numberText(limit),
    });
    return this.#json("GET", `/api/v1/history/${escapeBytes(key)}${query}`, options);
  }

  put(
    key: Uint8Array | string,
    value: Uint8Array | string,
    options?: CallOptions,
  ): Promise<{ readonly revision: number }> {
    return this.#json("PUT", keyPath(key), options, value);
  }

  delete(
    key: Uint8Array | string,
    options?: CallOptions,
  ): Promise<{ readonly revision: number; readonly deleted: number }> {
    return this.#json("DELETE", keyPath(key), options);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #json<T>(
    method: "GET" | "PUT" | "DELETE",
    path: string,
    options: CallOptions | undefined,
    body?: Uint8Array | string,
  ): Promise<T> {
    const answer = await this.#connection.call({ method, path, ...(body === undefined ? {} : { body }) }, options);
    return JSON.parse(answer.body.toString("utf8")) as T;
  }
}

function keyPath(key: Uint8Array | string): string {
  return `/api/v1/kv/${escapeBytes(key)}`;
}

/** Everything but letters, digits and `-._~` as `%XX`: what comes out is the same bytes whoever passes it on. */
function escapeBytes(bytes: Uint8Array | string): string {
  let escaped = "";
  for (const byte of Buffer.from(bytes as Uint8Array)) {
    const character = String.fromCharCode(byte);
    escaped += /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0").toUpperCase()}`;
  }
  return escaped;
}

function numberText(number: number | undefined): string | undefined {
  return number === undefined ? undefined : String(number);
}

function readQuery(options: ReadOptions): Record<string, string | undefined> {
  const { revision = 0, consistency, minRevision, maxStalenessMs } = options;
  return {
    revision: revision === 0 ? undefined : String(revision),
    consistency,
    minRevision: numberText(minRevision),
    maxStalenessMs: numberText(maxStalenessMs),
  };
}

function queryOf(parameters: Readonly<Record<string, string | undefined>>): string {
  const pairs = Object.entries(parameters).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return pairs.length === 0 ? "" : `?${pairs.map(([name, value]) => `${name}=${value}`).join("&")}`;
}
