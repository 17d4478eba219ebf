/** A lease with a key on it, whose deletion tells of its end. */
export interface LedgerLease {
  readonly id: bigint;
  readonly key: string;
  readonly ttlSeconds: number;
  /** Monotonic ms at which the grant was sent. */
  readonly grantSentMs: number;
  /** What the client was told at last: the lease stays until then, counted from when it asked. */
  promisedUntilMs: number;
  /** When the client first heard of the end. */
  endedMs: number | undefined;
}

/** What the clients were promised, and when each lease ended. */
export class LeaseLedger {
  readonly #leases = new Map<string, LedgerLease>();

  add(lease: Omit<LedgerLease, "promisedUntilMs" | "endedMs">): LedgerLease {
    const promisedUntilMs = lease.grantSentMs + lease.ttlSeconds * 1000;
    const added = { ...lease, promisedUntilMs, endedMs: undefined };
    this.#leases.set(lease.key, added);
    return added;
  }

  /** A renewal that was sent at `sentMs` was answered with the whole time. */
  renewed(lease: LedgerLease, sentMs: number, ttlSeconds: number): void {
    lease.promisedUntilMs = Math.max(lease.promisedUntilMs, sentMs + ttlSeconds * 1000);
  }

  /** Its key was deleted, or its renewal was told that it is gone. The first word of it counts. */
  ended(key: string, atMs: number): void {
    const lease = this.#leases.get(key);
    if (lease !== undefined) lease.endedMs ??= atMs;
  }
}

/** How long before its promised time a lease ended, ms; 0 or less: not early. */
export function earlyMs(lease: LedgerLease): number {
  return lease.endedMs === undefined ? 0 : lease.promisedUntilMs - lease.endedMs;
}
