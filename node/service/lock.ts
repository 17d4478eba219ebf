import { ConcordError } from "../client/errors.ts";
import { type RangeOperation } from "../machine/commands.ts";
import { type KvService } from "./kv.ts";
import { type LeaseService } from "./lease.ts";
import { putOf, rangeOf } from "./operations.ts";
import { prefixRange } from "./prefix-range.ts";
import { type Principal } from "./principal.ts";
import { type WatchService } from "./watch.ts";

export interface LockRequest {
  readonly name: string;
  /** A lease of the caller's, who renews it, or the time to live of one to be granted. */
  readonly lease: { readonly id: bigint } | { readonly ttlSeconds: number };
  /** How long to wait for the lock; 0 = only if it is free. */
  readonly waitMs: number;
}

export interface Lock {
  readonly key: Uint8Array;
  readonly leaseId: bigint;
  /** Greater than that of every earlier holder: what a lock protects can refuse smaller ones. */
  readonly fencingToken: number;
}

const NO_BYTES = new Uint8Array(0);
/** Renewals of a lease in the time it lives, while its owner waits. */
const RENEWALS_PER_TTL = 3;

/**
 * Locks as etcd's concurrency package makes them, so that `etcdctl lock` and this exclude each other: every contender
 * puts `<name>/<lease id in hex>` on its lease, and the one with the smallest create revision holds the lock. A contender
 * waits for the one right before it alone, so that the end of a holder wakes one and not all.
 */
export class LockService {
  readonly #kv: KvService;
  readonly #lease: LeaseService;
  readonly #watch: WatchService;

  constructor(services: { readonly kv: KvService; readonly lease: LeaseService; readonly watch: WatchService }) {
    this.#kv = services.kv;
    this.#lease = services.lease;
    this.#watch = services.watch;
  }

  /**
   * @param signal - ends the wait; what was put is taken back, and a lock that was acquired by then is released.
   * @throws ConcordError `CONCORD_LOCK_HELD`, `CONCORD_LEASE_NOT_FOUND`, `CONCORD_CANCELLED`.
   */
  async acquire(principal: Principal, request: LockRequest, signal: AbortSignal): Promise<Lock> {
    if ("id" in request.lease) return this.#contend(principal, request, request.lease.id, signal);
    const { reply } = await this.#lease.grant(principal, 0n, request.lease.ttlSeconds, { signal });
    const renewal = setInterval(
      () => {
        // A renewal that fails is made up for by the next one, or the lease ends and with it the wait.
        this.#lease.renew(principal, reply.id).catch(() => undefined);
      },
      (reply.ttlSeconds * 1000) / RENEWALS_PER_TTL,
    );
    try {
      const lock = await this.#contend(principal, request, reply.id, signal);
      // Whoever waited begins with the whole time.
      if (request.waitMs > 0) await this.#lease.renew(principal, reply.id, { signal });
      return lock;
    } catch (error) {
      // When this fails too, the lease ends by itself.
      await this.#lease.revoke(principal, reply.id).catch(() => undefined);
      throw error;
    } finally {
      clearInterval(renewal);
    }
  }

  /** Deletes the key; its lease stays. Nothing is deleted when the lock was not held, or waited for, on that lease. */
  async release(
    principal: Principal,
    name: string,
    leaseId: bigint,
  ): Promise<{ readonly revision: number; readonly deleted: number }> {
    const key = lockKey(name, leaseId);
    const { revision, reply } = await this.#kv.delete(principal, {
      type: "delete",
      key,
      rangeEnd: NO_BYTES,
      previous: false,
    });
    return { revision, deleted: reply.deleted };
  }

  async #contend(principal: Principal, request: LockRequest, leaseId: bigint, signal: AbortSignal): Promise<Lock> {
    const key = lockKey(request.name, leaseId);
    const { ownRevision, holderRevision, created } = await this.#enter(principal, request.name, key, leaseId);
    try {
      if (holderRevision !== ownRevision) {
        await this.#wait(principal, request, ownRevision, signal);
        await this.#checkEntry(principal, key, ownRevision);
      }
      if (signal.aborted) throw new ConcordError("CONCORD_CANCELLED");
    } catch (error) {
      // Another request on the same lease may have put the key: that one's place is not given up here.
      if (created) await this.release(principal, request.name, leaseId).catch(() => undefined);
      throw error;
    }
    return { key, leaseId, fencingToken: ownRevision };
  }

  /** @throws ConcordError by what ended the wait: the time, or the caller. */
  async #wait(
    principal: Principal,
    { name, waitMs }: LockRequest,
    ownRevision: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (waitMs === 0) throw new ConcordError("CONCORD_LOCK_HELD");
    const over = new AbortController();
    const onAbort = (): void => over.abort(new ConcordError("CONCORD_CANCELLED"));
    const timer = setTimeout(() => over.abort(new ConcordError("CONCORD_LOCK_HELD")), waitMs);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await this.#waitForTurn(principal, name, ownRevision, over.signal);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Takes a place in the queue, or finds the one this lease has already. */
  async #enter(
    principal: Principal,
    name: string,
    key: Uint8Array,
    lease: bigint,
  ): Promise<{ readonly ownRevision: number; readonly holderRevision: number; readonly created: boolean }> {
    const put = putOf({ key, value: NO_BYTES, lease });
    const own = rangeOf({ key, rangeEnd: NO_BYTES, revision: 0 });
    const holder = rangeOf({ ...queueOf(name), limit: 1, sortTarget: "create", sortOrder: "ascend" });
    const { revision, reply } = await this.#kv.txn(
      principal,
      {
        type: "txn",
        compares: [{ key, rangeEnd: NO_BYTES, target: "create", result: "equal", operand: 0 }],
        success: [put, holder],
        failure: [own, holder],
      },
      "strong",
    );
    const [mine, first] = reply.replies;
    const ownRevision = mine?.type === "range" ? mine.rows[0]?.createRevision : revision;
    const holderRevision = first?.type === "range" ? first.rows[0]?.createRevision : undefined;
    if (ownRevision === undefined || holderRevision === undefined) {
      throw new ConcordError("CONCORD_INTERNAL", "The place in a lock's queue is not in the answer that took it");
    }
    return { ownRevision, holderRevision, created: reply.succeeded };
  }

  /** Resolves when nobody is left who came earlier. */
  async #waitForTurn(principal: Principal, name: string, ownRevision: number, waiting: AbortSignal): Promise<void> {
    const earlier = rangeOf({
      ...queueOf(name),
      limit: 1,
      sortTarget: "create",
      sortOrder: "descend",
      maxCreateRevision: ownRevision - 1,
      keysOnly: true,
    });
    for (;;) {
      waiting.throwIfAborted();
      const { revision, reply } = await this.#kv.range(principal, earlier, "strong");
      const [predecessor] = reply.rows;
      if (predecessor === undefined) return;
      await this.#waitForDelete(principal, predecessor.key, revision + 1, waiting);
    }
  }

  async #waitForDelete(
    principal: Principal,
    key: Uint8Array,
    startRevision: number,
    waiting: AbortSignal,
  ): Promise<void> {
    const range = { key, rangeEnd: NO_BYTES };
    const filter = { previous: false, filterPut: true, filterDelete: false };
    const watch = this.#watch.open(principal, { ...range, ...filter, startRevision });
    const cancel = (): void => watch.cancel();
    waiting.addEventListener("abort", cancel, { once: true });
    if (waiting.aborted) cancel();
    try {
      // Whatever comes is a delete. A watch that compaction overtook has the queue looked at again.
      if ((await watch.next()) === undefined && watch.end?.reason === "stopped") {
        throw new ConcordError("CONCORD_STOPPED");
      }
    } finally {
      waiting.removeEventListener("abort", cancel);
      watch.cancel();
    }
    waiting.throwIfAborted();
  }

  /** The lease may have ended during the wait, and the place with it. */
  async #checkEntry(principal: Principal, key: Uint8Array, ownRevision: number): Promise<void> {
    const { reply } = await this.#kv.range(principal, rangeOf({ key, rangeEnd: NO_BYTES, revision: 0 }), "strong");
    if (reply.rows[0]?.createRevision === ownRevision) return;
    throw new ConcordError("CONCORD_LEASE_NOT_FOUND", "The lease ended, or the lock was released, during the wait");
  }
}

/** etcd's form: the id without leading zeros. */
function lockKey(name: string, leaseId: bigint): Uint8Array {
  return Buffer.from(`${name}/${leaseId.toString(16)}`, "utf8");
}

function queueOf(name: string): Pick<RangeOperation, "key" | "rangeEnd" | "revision"> {
  return { ...prefixRange(Buffer.from(`${name}/`, "utf8")), revision: 0 };
}
