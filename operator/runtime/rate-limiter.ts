import { setTimeout as sleep } from "node:timers/promises";

/**
 * Token bucket. `acquire` resolves in the order of the calls; a token is taken at once, so a waiting caller has its place
 * even when it is cancelled (as golang.org/x/time/rate does with reservations).
 */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now: () => number;
  #tokens: number;
  #updatedMs: number;

  /**
   * @param options.perSecond refill, tokens per second
   * @param options.burst size of the bucket
   * @param options.now monotonic milliseconds @default performance.now
   */
  constructor(options: { readonly perSecond: number; readonly burst: number; readonly now?: () => number }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#now = options.now ?? (() => performance.now());
    this.#tokens = options.burst;
    this.#updatedMs = this.#now();
  }

  /** Takes a token now, into debt if need be. @returns milliseconds to wait before acting on it */
  reserve(): number {
    this.#refill();
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1000;
  }

  /** Takes a token only when one is there. */
  tryAcquire(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** @throws AbortError when the signal fires during the wait */
  async acquire(signal?: AbortSignal): Promise<void> {
    const waitMs = this.reserve();
    if (waitMs > 0) await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
  }

  #refill(): void {
    const nowMs = this.#now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#updatedMs) / 1000) * this.#perSecond);
    this.#updatedMs = nowMs;
  }
}
