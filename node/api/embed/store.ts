import { ConcordError, ERROR_TABLE } from "../../client/errors.ts";
import {
  type Compare,
  type KeyRange,
  type KeyValue,
  type Operation,
  type PutOperation,
  type RangeOperation,
  type Reply,
  type TouchOperation,
} from "../../machine/commands.ts";
import {
  type NodeApi,
  type NodeInfo,
  type ReadLevel,
  type ReadOptions,
  type RequestOptions,
} from "../../runtime/node-api.ts";
import { type NodeHandle } from "../../observability/events.ts";
import { type WriteOptions } from "../../service/idempotency.ts";
import { putOf } from "../../service/operations.ts";
import { type Principal } from "../../service/principal.ts";
import { prefixRange } from "../../service/prefix-range.ts";
import { answerOf } from "../../service/refusals.ts";
import { type Services } from "../../service/services.ts";
import { problemOf } from "../http/problem.ts";
import { type OpenRequest, RequestEvents } from "../request-events.ts";
import { Row } from "./row.ts";

export type { RequestOptions, WriteOptions };

/** Text is taken as UTF-8. */
export type Bytes = string | Uint8Array;

/** Which keys: one, all with a prefix, or from `from` up to, without, `to`. */
export type Selection =
  { readonly key: Bytes } | { readonly prefix: Bytes } | { readonly from: Bytes; readonly to: Bytes };

export interface ListOptions extends ReadMode {
  /** Most rows to return; 0 for all. @default 0 */
  readonly limit?: number;
  /** Read as of this revision; 0 for now. @default 0 */
  readonly revision?: number;
}

/** How a read is made. */
export interface ReadMode extends ReadOptions {
  /** `strong` and `leader` are linearizable; `eventual` reads what this member has. @default strong */
  readonly consistency?: ReadLevel;
}

export interface PutOptions {
  /** The row is deleted this many milliseconds after the write; left out, it stays. */
  readonly ttlMs?: number;
  /** Media type of the value: printable ASCII, at most 255 characters. */
  readonly contentType?: string;
}

/** Rows, and what the answer is worth. */
export interface Page {
  readonly rows: readonly Row[];
  /** Keys of the selection, those beyond the limit too. */
  readonly count: number;
  readonly more: boolean;
  readonly revision: number;
  /** As it was read: stronger than asked for where that was not enough. */
  readonly consistency: ReadLevel;
  readonly term: number;
  /** What was acknowledged longer ago is seen; undefined while this member does not know. */
  readonly stalenessMs: number | undefined;
}

export interface Change {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** Undefined for a delete. */
  readonly value: Row | undefined;
  /** What the key held before, where asked for and not compacted. */
  readonly previous: Row | undefined;
  readonly revision: number;
}

export interface HistoryOptions extends ReadMode {
  /** Changes from this revision on; left out, all since the last compaction, and the row that it left. */
  readonly fromRevision?: number;
  /** Up to this revision; left out, the newest. */
  readonly toRevision?: number;
  /** Most changes to return; 0 for all. @default 0 */
  readonly limit?: number;
}

/** What became of a key, newest first. */
export interface History {
  readonly changes: readonly Change[];
  /** There are older ones: go on with `toRevision` below the last one's revision. */
  readonly more: boolean;
  readonly revision: number;
}

/** Conditions and operations that happen together or not at all. */
export interface Transaction {
  readonly if?: readonly Compare[];
  readonly then?: readonly Operation[];
  readonly else?: readonly Operation[];
}

/** The program that holds the store may do everything: it could read the disk too. */
const OWNER: Principal = { kind: "admin", name: "embedding program" };
/** HTTP status of what went well, as that of an error is in the error table. */
const GOOD = 200;
const EMPTY = new Uint8Array(0);
const encoder = new TextEncoder();
const bytes = (value: Bytes): Uint8Array => (typeof value === "string" ? encoder.encode(value) : value);

/** Builders for the operations and conditions of `txn`. */
export const op = {
  put: (key: Bytes, value: Bytes, { ttlMs, contentType }: PutOptions = {}): PutOperation =>
    putOf({
      key: bytes(key),
      value: bytes(value),
      lease: 0n,
      ...(ttlMs === undefined ? {} : { ttlMs: wholeMs(ttlMs, 1) }),
      ...(contentType === undefined ? {} : { contentType }),
    }),
  /** Sets how long the row lives from now on, 0 for ever: neither revision nor change. */
  touch: (key: Bytes, ttlMs: number): TouchOperation => ({ type: "touch", key: bytes(key), ttlMs: wholeMs(ttlMs, 0) }),
  get: (selection: Selection, options: ListOptions = {}): RangeOperation => rangeOperation(selection, options),
  delete: (selection: Selection): Operation => ({ type: "delete", ...keyRange(selection), previous: false }),
} as const;

export const when = {
  /** The key is not there. */
  missing: (key: Bytes): Compare => ({ ...one(key), target: "create", result: "equal", operand: 0 }),
  /** The key is there. */
  exists: (key: Bytes): Compare => ({ ...one(key), target: "create", result: "greater", operand: 0 }),
  /** The key was last changed at this revision. */
  modRevision: (key: Bytes, revision: number): Compare => ({
    ...one(key),
    target: "mod",
    result: "equal",
    operand: revision,
  }),
  value: (key: Bytes, value: Bytes): Compare => ({
    ...one(key),
    target: "value",
    result: "equal",
    operand: bytes(value),
  }),
} as const;

/** A member of a Concord cluster inside this program. */
export class Store implements AsyncDisposable {
  readonly #node: NodeApi;
  readonly #services: Services;
  readonly #events: RequestEvents;
  readonly #close: () => Promise<void>;

  protected constructor(node: NodeApi, services: Services, close: () => Promise<void>) {
    this.#node = node;
    this.#services = services;
    this.#events = new RequestEvents(node.handle);
    this.#close = close;
  }

  /**
   * Reads one key from this member's memory, at once and without a quorum: what it returns was true, and may be old.
   *
   * @throws ConcordError for a key that is empty or too long, or a revision that is compacted or in the future.
   */
  get(key: Bytes, options: { readonly revision?: number } = {}): Row | undefined {
    const request = this.#events.begin("embed", "get");
    try {
      const row = this.#get(key, options);
      request.end(GOOD);
      return row;
    } catch (error) {
      request.end(problemOf(error).status);
      throw error;
    }
  }

  /** Reads one key, unless it is asked for less, linearizably: every write acknowledged before this call is seen. */
  async read(key: Bytes, options: ReadMode = {}): Promise<Row | undefined> {
    return (await this.list({ key }, options))[0];
  }

  /** Reads many keys, unless it is asked for less, linearizably, in the order of their bytes. */
  async list(selection: Selection, options: ListOptions = {}): Promise<Row[]> {
    return [...(await this.page(selection, options)).rows];
  }

  /**
   * As `list`, with what the answer is worth: give its `revision` as `minRevision` of the next read, at whichever member,
   * and time never goes back.
   */
  async page(selection: Selection, options: ListOptions = {}): Promise<Page> {
    const operation = rangeOperation(selection, options);
    const level = options.consistency ?? "strong";
    const { revision, reply, freshness } = await this.#request("read", () =>
      this.#services.kv.range(OWNER, operation, level, options),
    );
    const { level: consistency = level, term = 0, stalenessMs } = freshness ?? {};
    return { rows: rowsOf(reply), count: reply.count, more: reply.more, revision, consistency, term, stalenessMs };
  }

  /**
   * What became of one key since the last compaction, newest first.
   *
   * @throws ConcordError `CONCORD_COMPACTED`, `CONCORD_FUTURE_REVISION` for a bound that is not there.
   *
   * @example
   * ```ts
   * import { Concord } from "concord-kv";
   *
   * await using store = await Concord.open({ memory: true });
   * await store.put("limit", "10");
   * await store.put("limit", "20");
   * const { changes } = await store.history("limit");
   * console.log(changes.map(({ value }) => value?.text())); // [ '20', '10' ]
   * ```
   */
  async history(key: Bytes, options: HistoryOptions = {}): Promise<History> {
    const operation = {
      type: "history",
      key: bytes(key),
      fromRevision: options.fromRevision ?? 0,
      toRevision: options.toRevision ?? 0,
      limit: options.limit ?? 0,
    } as const;
    const level = options.consistency ?? "strong";
    const { revision, reply } = await this.#request("history", () =>
      this.#services.kv.history(OWNER, operation, level, options),
    );
    return { changes: reply.rows.map((row) => changeOf(row)), more: reply.more, revision };
  }

  /**
   * Writes one key. Resolves when a majority has it on disk.
   *
   * @example
   * ```ts
   * import { Concord } from "concord-kv";
   *
   * await using store = await Concord.open({ memory: true });
   * await store.put("session/7", "ann", { ttlMs: 60_000 });
   * console.log(store.get("session/7")?.text()); // ann
   * ```
   */
  async put(key: Bytes, value: Bytes, options: WriteOptions & PutOptions = {}): Promise<{ readonly revision: number }> {
    const { revision } = await this.#request("put", () =>
      this.#services.kv.put(OWNER, op.put(key, value, options), options),
    );
    return { revision };
  }

  /**
   * Sets how long a row lives from now on; 0: for ever. Neither a revision nor a change that a watch sees.
   *
   * @returns false when there is no such row.
   */
  async touch(key: Bytes, ttlMs: number, options: WriteOptions = {}): Promise<boolean> {
    const { reply } = await this.#request("touch", () => this.#services.kv.touch(OWNER, op.touch(key, ttlMs), options));
    return reply.touched;
  }

  /** Deletes one key, or all keys of a selection, in one revision. */
  async delete(
    what: Bytes | Selection,
    options: WriteOptions = {},
  ): Promise<{ readonly revision: number; readonly deleted: number }> {
    const selection = typeof what === "string" || what instanceof Uint8Array ? { key: what } : what;
    const operation = { type: "delete", ...keyRange(selection), previous: false } as const;
    const { revision, reply } = await this.#request("delete", () =>
      this.#services.kv.delete(OWNER, operation, options),
    );
    return { revision, deleted: reply.deleted };
  }

  /** Runs `then` when all conditions hold, else `else`; see `op` and `when`. */
  async txn(
    transaction: Transaction,
    options: WriteOptions = {},
  ): Promise<{ readonly succeeded: boolean; readonly revision: number; readonly replies: readonly Reply[] }> {
    const operation = {
      type: "txn",
      compares: transaction.if ?? [],
      success: transaction.then ?? [],
      failure: transaction.else ?? [],
    } as const;
    const { revision, reply } = await this.#request("txn", () =>
      this.#services.kv.txn(OWNER, operation, "strong", options),
    );
    return { revision, succeeded: reply.succeeded, replies: reply.replies };
  }

  /**
   * Changes of a selection, in order, without a gap; from `fromRevision` on, or from now. The watch begins before this
   * call returns.
   *
   * @throws ConcordError `CONCORD_COMPACTED` from the iteration when compaction overtakes it: list again and go on there.
   */
  watch(
    selection: Selection,
    options: { readonly fromRevision?: number; readonly previous?: boolean; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<Change> {
    const request = this.#events.begin("embed", "watch", { kind: "serverStream" });
    const watch = this.#services.watch.open(OWNER, {
      ...keyRange(selection),
      startRevision: options.fromRevision ?? 0,
      previous: options.previous ?? false,
      filterPut: false,
      filterDelete: false,
    });
    options.signal?.addEventListener("abort", () => watch.cancel(), { once: true });
    return changes(watch, request);
  }

  /** Forgets history before `revision`; reads below it fail from then on. */
  async compact(revision: number, options: RequestOptions = {}): Promise<void> {
    await this.#request("compact", () => this.#services.kv.compact(OWNER, revision, options));
  }

  status(): NodeInfo {
    return this.#node.info();
  }

  /** Whose events those of this store are, on the channels that `CHANNELS` names. */
  get handle(): NodeHandle {
    return this.#node.handle;
  }

  /** Changes of the membership, as the admin door makes them. */
  get admin(): Pick<NodeApi, "addLearner" | "promote" | "remove" | "transfer" | "grant"> {
    return this.#node;
  }

  /** Hands leadership over when this member leads, finishes what is in flight, and gives the data directory back. */
  async close(): Promise<void> {
    await this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #get(key: Bytes, options: { readonly revision?: number }): Row | undefined {
    const result = this.#node.getLocal(bytes(key), options.revision);
    if (result.ok && result.reply.type === "range") {
      const row = result.reply.rows[0];
      return row === undefined ? undefined : new Row(row);
    }
    return rowsOf(answerOf(result, "range").reply)[0];
  }

  /** Does what a method is for, as one request. */
  async #request<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const request = this.#events.begin("embed", operation);
    try {
      const result = await request.run(work);
      request.end(GOOD);
      return result;
    } catch (error) {
      request.end(problemOf(error).status);
      throw error;
    }
  }
}

async function* changes(watch: ReturnType<NodeApi["watch"]>, request: OpenRequest): AsyncIterableIterator<Change> {
  let status = GOOD;
  try {
    for (let batch = await watch.next(); batch !== undefined; batch = await watch.next()) {
      for (const { event, previous } of batch.events) yield changeOf(event.row, previous);
    }
    if (watch.end?.reason === "compacted") {
      status = ERROR_TABLE.CONCORD_COMPACTED.http;
      throw new ConcordError("CONCORD_COMPACTED", undefined, {
        details: { compactRevision: watch.end.compactRevision },
      });
    }
  } finally {
    watch.cancel();
    request.end(status);
  }
}

function changeOf(changed: KeyValue, previous?: KeyValue): Change {
  const row = new Row(changed);
  const deleted = row.version === 0;
  return {
    type: deleted ? "delete" : "put",
    key: row.key,
    keyBytes: row.keyBytes,
    value: deleted ? undefined : row,
    previous: previous === undefined ? undefined : new Row(previous),
    revision: row.modRevision,
  };
}

function rowsOf(reply: Reply): Row[] {
  return reply.type === "range" ? reply.rows.map((row) => new Row(row)) : [];
}

function wholeMs(ttlMs: number, minimum: 0 | 1): number {
  if (Number.isSafeInteger(ttlMs) && ttlMs >= minimum) return ttlMs;
  throw new ConcordError("CONCORD_INVALID_ARGUMENT", `ttlMs is ${ttlMs}, expected whole milliseconds from ${minimum}`);
}

function one(key: Bytes): KeyRange {
  return { key: bytes(key), rangeEnd: EMPTY };
}

function keyRange(selection: Selection): KeyRange {
  if ("key" in selection) return one(selection.key);
  if ("from" in selection) return { key: bytes(selection.from), rangeEnd: bytes(selection.to) };
  return prefixRange(bytes(selection.prefix));
}

function rangeOperation(selection: Selection, options: ListOptions): RangeOperation {
  return {
    type: "range",
    ...keyRange(selection),
    limit: options.limit ?? 0,
    revision: options.revision ?? 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}
