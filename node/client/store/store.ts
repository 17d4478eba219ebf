import { ConcordError } from "../errors.ts";
import { type Compare, type Operation, type OperationReply, type ReadLevel, type SessionReply } from "../wire/types.ts";
import { type SessionRequest } from "../wire/types.ts";
import { type BackendOptions, type BackendWatch, type RequestOptions, type StoreBackend } from "./backend.ts";
import { Lease, Lock } from "./lease.ts";
import {
  type Bytes,
  bytesOf,
  keyRange,
  op,
  type PutOptions,
  type RangeOptions,
  type Selection,
  wholeNumber,
} from "./operations.ts";
import { type Change, changeOf, Row } from "./row.ts";

/** How a write is made. */
export interface WriteOptions extends RequestOptions {
  /**
   * Chosen by the caller, 1 to 255 bytes, the same for every attempt at one write: it is applied once, and later attempts
   * get the outcome of the first.
   */
  readonly idempotencyKey?: Uint8Array | undefined;
}

/** How a read is made. */
export interface ReadMode extends RequestOptions {
  /** `strong` and `leader` are linearizable; `eventual` reads what the member has. @default strong */
  readonly consistency?: ReadLevel;
  /** Of an eventual read: nothing older than this revision, as that of an earlier answer. */
  readonly minRevision?: number | undefined;
  /** Of an eventual read: everything is seen that was acknowledged this long before it. */
  readonly maxStalenessMs?: number | undefined;
}

export interface ListOptions extends ReadMode, RangeOptions {}

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
  /** What was acknowledged longer ago is seen; undefined while the member does not know. */
  readonly stalenessMs: number | undefined;
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

export interface WatchOptions {
  /** First revision to tell of; left out, the next change. */
  readonly fromRevision?: number;
  /** What each key held before, too. @default false */
  readonly previous?: boolean;
  /** Only changes of this type. */
  readonly only?: "put" | "delete";
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/** Changes as they come. */
export interface Watching extends AsyncIterableIterator<Change> {
  /** The first revision that is told of: what was read before it and what comes here leave nothing out. */
  readonly started: Promise<number>;
}

export interface LockOptions {
  /** A lease of the caller's, who renews it. @default one of `ttlSeconds` is granted, and renewed while the lock is held */
  readonly lease?: Lease;
  /** How long the lock survives its holder. @default 60 */
  readonly ttlSeconds?: number;
  /** How long to wait for it, up to a minute; 0: only if it is free. @default 0 */
  readonly waitMs?: number;
  /** Ends the wait. */
  readonly signal?: AbortSignal;
}

const LOCK_TTL_SECONDS = 60;
/** Beyond the wait that the member keeps. */
const LOCK_ANSWER_MS = 5_000;

/**
 * Keys and values of a cluster, the same in a member's own process (`Concord`) and over a session (`connect`). A write
 * has three outcomes: it resolves (done), rejects with a ConcordError whose `outcome` is `failed` (not done, and never
 * will be), or with one whose `outcome` is `unknown`.
 */
export abstract class KeyValueStore implements AsyncDisposable {
  readonly #backend: StoreBackend;

  protected constructor(backend: StoreBackend) {
    this.#backend = backend;
  }

  /** Reads one key from the memory of a member, without a quorum: what it returns was true, and may be old. */
  abstract get(key: Bytes, options?: { readonly revision?: number }): Row | undefined | Promise<Row | undefined>;

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
    const { revision, reply, freshness } = await this.#ask("range", op.get(selection, options), readOptions(options));
    const { level: consistency = options.consistency ?? "strong", term = 0, stalenessMs } = freshness ?? {};
    const rows = reply.rows.map((row) => new Row(row));
    return { rows, count: reply.count, more: reply.more, revision, consistency, term, stalenessMs };
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
    const { fromRevision = 0, toRevision = 0, limit = 0 } = options;
    const request = { type: "history", key: bytesOf(key), fromRevision, toRevision, limit } as const;
    const { revision, reply } = await this.#ask("history", request, readOptions(options));
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
    const { revision } = await this.#ask("put", op.put(key, value, options), writeOptions(options));
    return { revision };
  }

  /**
   * Sets how long a row lives from now on; 0: for ever. Neither a revision nor a change that a watch sees.
   *
   * @returns false when there is no such row.
   */
  async touch(key: Bytes, ttlMs: number, options: WriteOptions = {}): Promise<boolean> {
    return (await this.#ask("touch", op.touch(key, ttlMs), writeOptions(options))).reply.touched;
  }

  /** Deletes one key, or all keys of a selection, in one revision. */
  async delete(
    what: Bytes | Selection,
    options: WriteOptions = {},
  ): Promise<{ readonly revision: number; readonly deleted: number }> {
    const selection = typeof what === "string" || what instanceof Uint8Array ? { key: what } : what;
    const { revision, reply } = await this.#ask("delete", op.delete(selection), writeOptions(options));
    return { revision, deleted: reply.deleted };
  }

  /** Runs `then` when all conditions hold, else `else`; see `op` and `when`. */
  async txn(
    transaction: Transaction,
    options: WriteOptions = {},
  ): Promise<{ readonly succeeded: boolean; readonly revision: number; readonly replies: readonly OperationReply[] }> {
    const operation = {
      type: "txn",
      compares: transaction.if ?? [],
      success: transaction.then ?? [],
      failure: transaction.else ?? [],
    } as const;
    const { revision, reply } = await this.#ask("txn", operation, writeOptions(options));
    return { revision, succeeded: reply.succeeded, replies: reply.replies };
  }

  /**
   * Changes of a selection, in order, without a gap; from `fromRevision` on, or from now. It has begun before any request
   * that is made after this call.
   *
   * @throws ConcordError `CONCORD_COMPACTED` from the iteration when compaction overtakes it: list again and go on there.
   */
  watch(selection: Selection, options: WatchOptions = {}): Watching {
    const watch = this.#backend.watch({
      ...keyRange(selection),
      startRevision: wholeNumber("fromRevision", options.fromRevision ?? 0, 0),
      previous: options.previous ?? false,
      filterPut: options.only === "delete",
      filterDelete: options.only === "put",
    });
    // Whoever does not wait for it need not hear why it never came.
    watch.started.catch(() => undefined);
    return Object.assign(changes(watch, options.signal), { started: watch.started });
  }

  /** Forgets history before `revision`; reads below it fail from then on. */
  async compact(revision: number, options: WriteOptions = {}): Promise<void> {
    const request = { type: "compact", revision: wholeNumber("revision", revision, 0) } as const;
    await this.#ask("compact", request, writeOptions(options));
  }

  /** Grants a lease that lives for `ttlSeconds`, at least 2, from each renewal on. */
  async lease(ttlSeconds: number, options: WriteOptions & { readonly id?: bigint } = {}): Promise<Lease> {
    const { id = 0n, ...rest } = options;
    const request = { type: "leaseGrant", id, ttlSeconds: wholeNumber("ttlSeconds", ttlSeconds, 1) } as const;
    const { reply } = await this.#ask("leaseGrant", request, writeOptions(rest));
    return new Lease(this.#backend, reply.id, reply.ttlSeconds);
  }

  /** A lease by its id, such as one that another program granted. Whether there is one tells `timeToLive`. */
  leaseOf(id: bigint, ttlSeconds: number): Lease {
    return new Lease(this.#backend, id, ttlSeconds);
  }

  /** The ids of all leases. */
  async leases(options: RequestOptions = {}): Promise<readonly bigint[]> {
    return (await this.#ask("leases", { type: "leases" }, options)).reply.ids;
  }

  /**
   * Acquires a lock, the same one as `etcdctl lock` and REST do.
   *
   * @throws ConcordError `CONCORD_LOCK_HELD` when another has it for longer than `waitMs`.
   * @example
   * ```ts
   * import { Concord } from "concord-kv";
   *
   * await using store = await Concord.open({ memory: true });
   * await using lock = await store.lock("jobs/nightly", { waitMs: 10_000 });
   * console.log(lock.fencingToken > 0); // true
   * ```
   */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    const { ttlSeconds = LOCK_TTL_SECONDS, waitMs = 0, signal } = options;
    // Whoever gives up meanwhile has it taken back below.
    const lease = options.lease ?? (await this.lease(ttlSeconds));
    const waited = new AbortController();
    // Whoever waits on a lease of its own keeps it alive meanwhile; when that fails, so does the wait.
    if (options.lease === undefined) lease.keepAlive(waited.signal).catch(() => undefined);
    const request = {
      type: "lock",
      name,
      lease: lease.id,
      ttlSeconds: 0,
      waitMs: wholeNumber("waitMs", waitMs, 0),
    } as const;
    try {
      const { reply } = await this.#ask("lock", request, { signal, timeoutMs: waitMs + LOCK_ANSWER_MS });
      const { key, fencingToken } = reply;
      return new Lock(this.#backend, lease, { name, key, fencingToken, ownLease: options.lease === undefined });
    } catch (error) {
      // When this fails too, the lease ends by itself.
      if (options.lease === undefined) await lease.revoke().catch(() => undefined);
      throw error;
    } finally {
      waited.abort();
    }
  }

  /**
   * What became of the write with this idempotency key: the revision it was applied at, or undefined when no such write
   * was applied so far, or it is forgotten.
   */
  async writeRevision(idempotencyKey: Uint8Array, options: RequestOptions = {}): Promise<number | undefined> {
    return (await this.#ask("writeRevision", { type: "writeRevision", key: idempotencyKey }, options)).reply.writtenAt;
  }

  /** Ends it. What is under way is answered, or rejected. */
  async close(): Promise<void> {
    await this.#backend.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ask<T extends SessionReply["type"]>(
    type: T,
    request: SessionRequest,
    options: BackendOptions,
  ): Promise<Awaited<ReturnType<StoreBackend["carryOut"]>> & { readonly reply: Extract<SessionReply, { type: T }> }> {
    const answer = await this.#backend.carryOut(request, options);
    if (isReply(answer.reply, type)) return { ...answer, reply: answer.reply };
    throw new ConcordError("CONCORD_INTERNAL", `The answer to a ${request.type} is a ${answer.reply.type}`);
  }
}

function isReply<T extends SessionReply["type"]>(
  reply: SessionReply,
  type: T,
): reply is Extract<SessionReply, { readonly type: T }> {
  return reply.type === type;
}

async function* changes(watch: BackendWatch, signal: AbortSignal | undefined): AsyncGenerator<Change, undefined> {
  const cancel = (): void => watch.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  if (signal?.aborted === true) cancel();
  try {
    for (let batch = await watch.next(); batch !== undefined; batch = await watch.next())
      for (const { row, previous } of batch) yield changeOf(row, previous);
    return undefined;
  } finally {
    signal?.removeEventListener("abort", cancel);
    watch.cancel();
  }
}

function readOptions({ consistency, minRevision, maxStalenessMs, timeoutMs, signal }: ReadMode): BackendOptions {
  return { level: consistency, minRevision, maxStalenessMs, timeoutMs, signal };
}

function writeOptions({ idempotencyKey, timeoutMs, signal }: WriteOptions): BackendOptions {
  return { idempotencyKey, timeoutMs, signal };
}
