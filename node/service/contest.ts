import { ConcordError } from "../client/errors.ts";
import { type KeyRange, type KeyValue } from "../machine/commands.ts";
import { type KvService } from "./kv.ts";
import { type LeaseService } from "./lease.ts";
import { putOf, rangeOf } from "./operations.ts";
import { prefixRange } from "../client/store/prefix-range.ts";
import { type Principal } from "./principal.ts";
import { type WatchService } from "./watch.ts";

export interface ContestRequest {
  readonly name: Uint8Array;
  /** A lease of the caller's, who renews it, or the time to live of one to be granted. */
  readonly lease: { readonly id: bigint } | { readonly ttlSeconds: number };
  /** What the contender's key holds. */
  readonly value: Uint8Array;
  /** How long to wait; 0 = only if nobody is before the caller, Infinity = until `signal`. */
  readonly waitMs: number;
}

/** The first place in the queue. It is held while `key` exists with this create revision. */
export interface Place {
  readonly key: Uint8Array;
  readonly leaseId: bigint;
  readonly createRevision: number;
}

interface Entry {
  readonly createRevision: number;
  /** Of whoever holds the first place. */
  readonly firstRevision: number;
  /** What this lease had put before; undefined when the key was put now. */
  readonly found: KeyValue | undefined;
}

const NO_BYTES = new Uint8Array(0);
/** Renewals of a lease in the time it lives, while its owner waits. */
const RENEWALS_PER_TTL = 3;

/**
 * The queue behind locks and elections, as etcd's concurrency package makes it, so that its clients and ours exclude each
 * other: every contender puts `<name>/<lease id in hex>` on its lease, and the one with the smallest create revision is
 * first. A contender waits for the one right before it alone, so that the end of one wakes one and not all.
 */
export class Contest {
  readonly #kv: KvService;
  readonly #lease: LeaseService;
  readonly #watch: WatchService;

  constructor(services: { readonly kv: KvService; readonly lease: LeaseService; readonly watch: WatchService }) {
    this.#kv = services.kv;
    this.#lease = services.lease;
    this.#watch = services.watch;
  }

  /**
   * Resolves when the caller is first. A lease that was granted here is renewed until then, and by the caller from then on.
   *
   * @param signal - ends the wait; what was put is taken back, a place that was won by then too.
   * @throws ConcordError `CONCORD_LOCK_HELD` when the time was over, `CONCORD_LEASE_NOT_FOUND`, `CONCORD_CANCELLED`.
   */
  async win(principal: Principal, request: ContestRequest, signal: AbortSignal): Promise<Place> {
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
      const place = await this.#contend(principal, request, reply.id, signal);
      // Whoever waited begins with the whole time.
      if (request.waitMs > 0) await this.#lease.renew(principal, reply.id, { signal });
      return place;
    } catch (error) {
      // When this fails too, the lease ends by itself.
      await this.#lease.revoke(principal, reply.id).catch(() => undefined);
      throw error;
    } finally {
      clearInterval(renewal);
    }
  }

  async #contend(principal: Principal, request: ContestRequest, leaseId: bigint, signal: AbortSignal): Promise<Place> {
    const key = contenderKey(request.name, leaseId);
    const { createRevision, firstRevision, found } = await this.#enter(principal, request, key, leaseId);
    try {
      if (found !== undefined && Buffer.compare(found.value, request.value) !== 0)
        await this.#replaceValue(principal, request, { key, leaseId, createRevision });
      if (firstRevision !== createRevision) {
        await this.#wait(principal, request, createRevision, signal);
        await this.#checkEntry(principal, key, createRevision);
      }
      if (signal.aborted) throw new ConcordError("CONCORD_CANCELLED");
    } catch (error) {
      // Another request on the same lease may have put the key: that one's place is not given up here.
      if (found === undefined) await this.#leave(principal, key).catch(() => undefined);
      throw error;
    }
    return { key, leaseId, createRevision };
  }

  async #leave(principal: Principal, key: Uint8Array): Promise<void> {
    await this.#kv.delete(principal, { type: "delete", key, rangeEnd: NO_BYTES, previous: false });
  }

  /** Takes a place in the queue, or finds the one this lease has already. */
  async #enter(principal: Principal, request: ContestRequest, key: Uint8Array, lease: bigint): Promise<Entry> {
    const put = putOf({ key, value: request.value, lease });
    const own = rangeOf({ key, rangeEnd: NO_BYTES, revision: 0 });
    const first = rangeOf({
      ...contenders(request.name),
      revision: 0,
      limit: 1,
      sortTarget: "create",
      sortOrder: "ascend",
    });
    const { revision, reply } = await this.#kv.txn(
      principal,
      {
        type: "txn",
        compares: [{ key, rangeEnd: NO_BYTES, target: "create", result: "equal", operand: 0 }],
        success: [put, first],
        failure: [own, first],
      },
      "strong",
    );
    const [mine, holder] = reply.replies;
    const found = mine?.type === "range" ? mine.rows[0] : undefined;
    const createRevision = reply.succeeded ? revision : found?.createRevision;
    const firstRevision = holder?.type === "range" ? holder.rows[0]?.createRevision : undefined;
    if (createRevision === undefined || firstRevision === undefined)
      throw new ConcordError("CONCORD_INTERNAL", "The place in a queue is not in the answer that took it");
    return { createRevision, firstRevision, found };
  }

  async #replaceValue(principal: Principal, { value }: ContestRequest, place: Place): Promise<void> {
    const { key, leaseId: lease, createRevision: operand } = place;
    const compares = [{ key, rangeEnd: NO_BYTES, target: "create", result: "equal", operand }] as const;
    const success = [putOf({ key, value, lease })];
    const { reply } = await this.#kv.txn(principal, { type: "txn", compares, success, failure: [] }, "strong");
    if (!reply.succeeded) throw endedMeanwhile();
  }

  /** @throws ConcordError by what ended the wait: the time, or the caller. */
  async #wait(
    principal: Principal,
    { name, waitMs }: ContestRequest,
    createRevision: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (waitMs === 0) throw new ConcordError("CONCORD_LOCK_HELD");
    const over = new AbortController();
    const onAbort = (): void => over.abort(new ConcordError("CONCORD_CANCELLED"));
    const onTimeout = (): void => over.abort(new ConcordError("CONCORD_LOCK_HELD"));
    const timer = waitMs === Infinity ? undefined : setTimeout(onTimeout, waitMs);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await this.#waitForTurn(principal, name, createRevision, over.signal);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Resolves when nobody is left who came earlier. */
  async #waitForTurn(
    principal: Principal,
    name: Uint8Array,
    createRevision: number,
    waiting: AbortSignal,
  ): Promise<void> {
    const earlier = rangeOf({
      ...contenders(name),
      revision: 0,
      limit: 1,
      sortTarget: "create",
      sortOrder: "descend",
      maxCreateRevision: createRevision - 1,
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
  async #checkEntry(principal: Principal, key: Uint8Array, createRevision: number): Promise<void> {
    const { reply } = await this.#kv.range(principal, rangeOf({ key, rangeEnd: NO_BYTES, revision: 0 }), "strong");
    if (reply.rows[0]?.createRevision !== createRevision) throw endedMeanwhile();
  }
}

function endedMeanwhile(): ConcordError {
  return new ConcordError("CONCORD_LEASE_NOT_FOUND", "The lease ended, or the place was given up, during the wait");
}

/** etcd's form: the id without leading zeros, a negative one as its two's complement. */
export function contenderKey(name: Uint8Array, leaseId: bigint): Uint8Array {
  return Buffer.concat([name, Buffer.from(`/${BigInt.asUintN(64, leaseId).toString(16)}`)]);
}

/** The keys of all contenders. */
export function contenders(name: Uint8Array): KeyRange {
  return prefixRange(Buffer.concat([name, SLASH]));
}

const SLASH = Uint8Array.of(0x2f);
