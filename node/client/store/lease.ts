import { setTimeout as pause } from "node:timers/promises";
import { ConcordError } from "../errors.ts";
import { type RequestOptions, type StoreBackend } from "./backend.ts";

/** Renewals in the time that a lease lives. */
const RENEWALS_PER_TTL = 3;
/** Between attempts at a renewal that failed. */
const RETRY_MS = 200;

/** What a lease has left. */
export interface LeaseTime {
  readonly ttlSeconds: number;
  readonly grantedSeconds: number;
  /** Empty unless they were asked for. */
  readonly keys: readonly Uint8Array[];
}

/** Keys that are put on a lease are deleted, all at one revision, when it ends. */
export class Lease implements AsyncDisposable {
  readonly id: bigint;
  /** Seconds it lives from each renewal on. */
  readonly ttlSeconds: number;
  readonly #backend: StoreBackend;

  constructor(backend: StoreBackend, id: bigint, ttlSeconds: number) {
    this.#backend = backend;
    this.id = id;
    this.ttlSeconds = ttlSeconds;
  }

  /**
   * Lets it live for its whole time from now on.
   *
   * @throws ConcordError `CONCORD_LEASE_NOT_FOUND` when it has ended.
   */
  async renew(options: RequestOptions = {}): Promise<void> {
    const { reply } = await this.#backend.carryOut({ type: "leaseKeepAlive", id: this.id }, options);
    if (reply.type !== "leaseKeepAlive" || reply.ttlSeconds === 0) throw new ConcordError("CONCORD_LEASE_NOT_FOUND");
  }

  /**
   * Renews it until the signal ends; resolves then.
   *
   * @throws ConcordError `CONCORD_LEASE_NOT_FOUND` when it has ended, or whatever kept it from being renewed for so long
   * that it may have.
   */
  async keepAlive(signal: AbortSignal): Promise<void> {
    const periodMs = (this.ttlSeconds * 1000) / RENEWALS_PER_TTL;
    let renewedAt = performance.now();
    let waitMs = periodMs;
    for (;;) {
      try {
        await pause(waitMs, undefined, { signal, ref: false });
      } catch {
        return;
      }
      const begunAt = performance.now();
      try {
        await this.renew({ signal, timeoutMs: Math.max(1000, Math.ceil(periodMs)) });
        renewedAt = begunAt;
        waitMs = periodMs;
      } catch (error) {
        if (signal.aborted) return;
        const mayHaveEnded = performance.now() - renewedAt >= this.ttlSeconds * 1000;
        if (mayHaveEnded || (ConcordError.is(error) && error.code === "CONCORD_LEASE_NOT_FOUND")) throw error;
        waitMs = RETRY_MS;
      }
    }
  }

  /** What it has left; undefined when it has ended. */
  async timeToLive(options: RequestOptions & { readonly keys?: boolean } = {}): Promise<LeaseTime | undefined> {
    const { keys = false, ...rest } = options;
    const { reply } = await this.#backend.carryOut({ type: "leaseTimeToLive", id: this.id, keys }, rest);
    if (reply.type !== "leaseTimeToLive" || reply.ttlSeconds === undefined) return undefined;
    return {
      ttlSeconds: reply.ttlSeconds,
      grantedSeconds: reply.grantedSeconds,
      keys: reply.keys.map((key) => Uint8Array.from(key)),
    };
  }

  /**
   * Ends it now.
   *
   * @returns how many keys went with it.
   * @throws ConcordError `CONCORD_LEASE_NOT_FOUND` when it has ended already.
   */
  async revoke(options: RequestOptions = {}): Promise<number> {
    const { reply } = await this.#backend.carryOut({ type: "leaseRevoke", id: this.id }, options);
    return reply.type === "leaseRevoke" ? reply.deleted : 0;
  }

  /** Ends it, unless it has ended already. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.revoke().catch((error: unknown) => {
      if (!ConcordError.is(error) || error.code !== "CONCORD_LEASE_NOT_FOUND") throw error;
    });
  }
}

/** A lock that is held. It is lost when its lease ends: what it protects should refuse smaller fencing tokens. */
export class Lock implements AsyncDisposable {
  readonly name: string;
  readonly lease: Lease;
  readonly key: Uint8Array;
  /** Greater than that of every earlier holder. */
  readonly fencingToken: number;
  /** Resolves with the reason when the lease can no longer be renewed; never for a lock that was released. */
  readonly lost: Promise<Error>;
  readonly #backend: StoreBackend;
  readonly #stop = new AbortController();
  readonly #ownLease: boolean;

  /** @param options.ownLease - the lease was granted for the lock: it is renewed until the release, and ends with it. */
  constructor(
    backend: StoreBackend,
    lease: Lease,
    options: {
      readonly name: string;
      readonly key: Uint8Array;
      readonly fencingToken: number;
      readonly ownLease: boolean;
    },
  ) {
    this.#backend = backend;
    this.lease = lease;
    this.name = options.name;
    this.key = options.key;
    this.fencingToken = options.fencingToken;
    this.#ownLease = options.ownLease;
    this.lost = new Promise((resolve) => {
      if (options.ownLease)
        lease.keepAlive(this.#stop.signal).catch((error: unknown) => {
          resolve(error instanceof Error ? error : new Error(String(error)));
        });
    });
  }

  /** Gives it up. A lease that was granted for it ends too. */
  async release(options: RequestOptions = {}): Promise<void> {
    this.#stop.abort();
    if (this.#ownLease) await this.lease[Symbol.asyncDispose]();
    else await this.#backend.carryOut({ type: "unlock", name: this.name, lease: this.lease.id }, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
