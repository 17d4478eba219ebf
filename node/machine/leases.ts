import { InvariantError, invariant } from "./assert.ts";
import { DeadlineQueue } from "./deadline-queue.ts";

/** A lease as it is granted or renewed; a renewal makes another one. */
export interface Lease {
  readonly id: bigint;
  /** Seconds it was granted for, and is renewed for. */
  readonly ttlSeconds: number;
  /** Cluster time at which it ends, ms. */
  readonly deadlineMs: number;
}

/** Leases with equal buckets share a page of the checkpoint. */
export const LEASE_BUCKETS = 256;

/** etcd's shortest time to live, from its default election timeout of one second. */
export const LEASE_TTL_MIN_SECONDS = 2;
/** etcd's longest, about 285 years (server/lease/lessor.go). */
export const LEASE_TTL_MAX_SECONDS = 9_000_000_000;
/** More are refused. They take about 200 bytes each. */
export const LEASES_MAX = 1_000_000;

/** The leases of one page. Once it was frozen, a change makes a copy of it. */
export interface LeaseBucket {
  /** Epoch of its last change. */
  readonly stamp: number;
  readonly leases: ReadonlyMap<bigint, Lease>;
}

interface WorkingBucket extends LeaseBucket {
  stamp: number;
  readonly leases: Map<bigint, Lease>;
}

/** The leases of one moment. */
export interface FrozenLeases {
  /** Changes up to this epoch are in it. */
  readonly epoch: number;
  readonly buckets: readonly LeaseBucket[];
}

/** What readers see of the leases. */
export type LeaseView = Pick<Leases, "count" | "get" | "list" | "due">;

/**
 * The leases and the keys that hang on each. Ends are known in their order, so that whoever asks for those that are due
 * pays only for them.
 */
export class Leases {
  #buckets: WorkingBucket[] = Array.from({ length: LEASE_BUCKETS }, () => ({
    stamp: 0,
    leases: new Map<bigint, Lease>(),
  }));
  /** Slots of the live keys of a lease, the writer's included. A lease without keys has no entry. */
  readonly #keys = new Map<bigint, Set<number>>();
  readonly #deadlines = new DeadlineQueue<bigint>();
  #epoch = 1;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Ends in the queue, some of leases that are gone. */
  get queued(): number {
    return this.#deadlines.length;
  }

  get(id: bigint): Lease | undefined {
    return this.#bucketOf(id).leases.get(id);
  }

  has(id: bigint): boolean {
    return this.#bucketOf(id).leases.has(id);
  }

  /** In the order of their ids. */
  list(): Lease[] {
    return this.#buckets
      .flatMap(({ leases }) => [...leases.values()])
      .sort((left, right) => (left.id < right.id ? -1 : Number(left.id > right.id)));
  }

  /** Grants or renews. */
  set(lease: Lease): void {
    const { leases } = this.#writable(lease.id);
    const known = leases.get(lease.id);
    leases.set(lease.id, lease);
    if (known === undefined) this.#count += 1;
    // A later end is found when the earlier one is looked at.
    if (known === undefined || lease.deadlineMs < known.deadlineMs) this.#enqueue(lease);
  }

  /** Its keys must be gone. */
  delete(id: bigint): void {
    invariant(!this.#keys.has(id), "A lease with keys is taken away");
    if (!this.#writable(id).leases.delete(id)) throw new InvariantError("A lease is taken away that is not there");
    this.#count -= 1;
  }

  /** At most `count` leases that have ended by `clusterTimeMs`, those first that ended first. */
  due(clusterTimeMs: number, count: number): Lease[] {
    const due = this.#deadlines.due(clusterTimeMs, count, (id) => this.get(id)?.deadlineMs);
    return due.map((id) => this.get(id) as Lease);
  }

  attach(id: bigint, keySlot: number): void {
    let slots = this.#keys.get(id);
    if (slots === undefined) this.#keys.set(id, (slots = new Set()));
    slots.add(keySlot);
  }

  detach(id: bigint, keySlot: number): void {
    const slots = this.#keys.get(id);
    if (slots?.delete(keySlot) !== true) throw new InvariantError("A key leaves a lease that it does not hang on");
    if (slots.size === 0) this.#keys.delete(id);
  }

  /** Slots of the keys that hang on it, in no particular order. */
  keysOf(id: bigint): number[] {
    return [...(this.#keys.get(id) ?? [])];
  }

  keyCount(id: bigint): number {
    return this.#keys.get(id)?.size ?? 0;
  }

  /** Keys that hang on any lease. */
  get attachments(): number {
    let count = 0;
    for (const slots of this.#keys.values()) count += slots.size;
    return count;
  }

  /** Costs as much as there are buckets, however many leases there are. */
  freeze(): FrozenLeases {
    const frozen = { epoch: this.#epoch, buckets: this.#buckets.slice() };
    this.#epoch += 1;
    return frozen;
  }

  /** Takes a bucket of a checkpoint. */
  load(bucket: number, leases: readonly Lease[]): void {
    invariant(this.#buckets[bucket]?.leases.size === 0, "A bucket of leases is loaded twice");
    this.#buckets[bucket] = { stamp: 0, leases: new Map(leases.map((lease) => [lease.id, lease])) };
    for (const lease of leases) this.#enqueue(lease);
    this.#count += leases.length;
  }

  #bucketOf(id: bigint): WorkingBucket {
    return this.#buckets[bucketOf(id)] as WorkingBucket;
  }

  #writable(id: bigint): WorkingBucket {
    const number = bucketOf(id);
    let bucket = this.#buckets[number] as WorkingBucket;
    // Every change since the last freeze bears the present epoch: such a bucket was not frozen yet.
    if (bucket.stamp !== this.#epoch) {
      bucket = { stamp: this.#epoch, leases: new Map(bucket.leases) };
      this.#buckets[number] = bucket;
    }
    return bucket;
  }

  #enqueue({ id, deadlineMs }: Lease): void {
    this.#deadlines.add(id, deadlineMs);
    if (this.#deadlines.length > 2 * this.#count + QUEUE_SLACK)
      this.#deadlines.rebuild(this.#buckets.flatMap(({ leases }) => [...leases.values()]));
  }
}

/** Ends of leases that are gone may stay in the queue until there are as many of them as there are leases, and this. */
const QUEUE_SLACK = 64;

/** Ids may be drawn by chance or counted up: both spread. */
export function bucketOf(id: bigint): number {
  const word = Number(BigInt.asUintN(32, id ^ (id >> 32n)));
  return Math.imul(word, 0x9e3779b1) >>> 24;
}
