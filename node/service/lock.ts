import { Contest, contenderKey, type ContestRequest } from "./contest.ts";
import { type KvService } from "./kv.ts";
import { type LeaseService } from "./lease.ts";
import { type Principal } from "./principal.ts";
import { type WatchService } from "./watch.ts";

export interface LockRequest extends Pick<ContestRequest, "lease" | "waitMs"> {
  readonly name: string | Uint8Array;
}

export interface Lock {
  readonly key: Uint8Array;
  readonly leaseId: bigint;
  /** Greater than that of every earlier holder: what a lock protects can refuse smaller ones. */
  readonly fencingToken: number;
}

const NO_BYTES = new Uint8Array(0);

/** Locks that `etcdctl lock` and this one exclude each other by: whoever is first in a contest of the name holds it. */
export class LockService {
  readonly #kv: KvService;
  readonly #contest: Contest;

  constructor(services: { readonly kv: KvService; readonly lease: LeaseService; readonly watch: WatchService }) {
    this.#kv = services.kv;
    this.#contest = new Contest(services);
  }

  /**
   * @param signal - ends the wait; what was put is taken back, and a lock that was acquired by then is released.
   * @throws ConcordError `CONCORD_LOCK_HELD`, `CONCORD_LEASE_NOT_FOUND`, `CONCORD_CANCELLED`.
   */
  async acquire(principal: Principal, { name, ...request }: LockRequest, signal: AbortSignal): Promise<Lock> {
    const contest = { ...request, name: bytesOf(name), value: NO_BYTES };
    const { key, leaseId, createRevision } = await this.#contest.win(principal, contest, signal);
    return { key, leaseId, fencingToken: createRevision };
  }

  /** Deletes the key; its lease stays. Nothing is deleted when the lock was not held, or waited for, on that lease. */
  async release(
    principal: Principal,
    name: string | Uint8Array,
    leaseId: bigint,
  ): Promise<{ readonly revision: number; readonly deleted: number }> {
    const key = contenderKey(bytesOf(name), leaseId);
    const operation = { type: "delete", key, rangeEnd: NO_BYTES, previous: false } as const;
    const { revision, reply } = await this.#kv.delete(principal, operation);
    return { revision, deleted: reply.deleted };
  }
}

function bytesOf(name: string | Uint8Array): Uint8Array {
  return typeof name === "string" ? Buffer.from(name, "utf8") : name;
}
