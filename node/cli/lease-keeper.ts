import { setTimeout as delay } from "node:timers/promises";
import { ConcordError } from "../client/errors.ts";

const MS_PER_SECOND = 1000;
/** Renewals in the time a lease lives: two may fail. */
const RENEWALS_PER_TTL = 3;
const RETRY_MS = 500;

/**
 * Renews a lease for as long as somebody wants it. Whoever holds something on it has to know in time that it may be gone:
 * the time is counted from before the last renewal that was answered.
 */
export class LeaseKeeper {
  readonly #id: string;
  readonly #renew: (signal: AbortSignal) => Promise<{ readonly ttlSeconds: number }>;
  #ttlMs = 0;
  #endsAt = 0;

  constructor(id: string, renew: (signal: AbortSignal) => Promise<{ readonly ttlSeconds: number }>) {
    this.#id = id;
    this.#renew = renew;
  }

  /** Once. @returns its time to live, seconds. */
  async renew(signal: AbortSignal = new AbortController().signal): Promise<number> {
    const startedAt = performance.now();
    const { ttlSeconds } = await this.#renew(signal);
    this.#ttlMs = ttlSeconds * MS_PER_SECOND;
    this.#endsAt = startedAt + this.#ttlMs;
    return ttlSeconds;
  }

  /**
   * Until `signal` is aborted; then it resolves. Call `renew` before.
   *
   * @throws ConcordError `CONCORD_LEASE_NOT_FOUND` when the lease is gone, or nobody could be asked in time
   */
  async keep(signal: AbortSignal, onRenewed: (ttlSeconds: number) => void = () => undefined): Promise<void> {
    let pauseMs = this.#ttlMs / RENEWALS_PER_TTL;
    for (;;) {
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        onRenewed(await this.#renewInTime(signal));
        pauseMs = this.#ttlMs / RENEWALS_PER_TTL;
      } catch (error) {
        if (isAborted(signal)) return;
        if (!ConcordError.is(error) || !(error.retryable || error.outcome === "unknown")) throw error;
        const leftMs = this.#endsAt - performance.now();
        if (leftMs <= 0)
          throw new ConcordError("CONCORD_LEASE_NOT_FOUND", `Lease ${this.#id} could not be renewed in time`, {
            cause: error,
          });
        pauseMs = Math.min(RETRY_MS, leftMs);
      }
    }
  }

  /** A request that hangs must not outlast the lease. */
  async #renewInTime(signal: AbortSignal): Promise<number> {
    const late = AbortSignal.timeout(Math.max(1, Math.ceil(this.#endsAt - performance.now())));
    return await this.renew(AbortSignal.any([signal, late]));
  }
}

/** Asked anew: it may have changed while something was awaited. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
