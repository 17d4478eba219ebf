import { Deferred } from "./deferred.ts";
import { TokenBucket } from "./rate-limiter.ts";

/** Observer of a queue, in the terms of client-go's workqueue metrics. Times in milliseconds. */
export interface WorkQueueMetrics {
  added(): void;
  depth(items: number): void;
  started(waitedMs: number): void;
  finished(workedMs: number): void;
  retried(): void;
}

export interface WorkQueueOptions {
  /** First wait of an item that fails, in milliseconds; doubles with each failure. @default 5 */
  readonly itemBaseMs?: number;
  /** @default 300000 */
  readonly itemMaxMs?: number;
  /** Bucket for all failing items together. @default 10 per second, burst 100 */
  readonly perSecond?: number;
  readonly burst?: number;
  readonly metrics?: WorkQueueMetrics;
  readonly now?: () => number;
}

/**
 * Keys that need work, with the guarantees of client-go's work queue: a key waits at most once, is never worked on twice
 * at the same time, and is worked on again when it was added meanwhile.
 */
export class WorkQueue {
  /** Invariant: no key is both in `#waiting` and in `#processing`. */
  readonly #waiting: string[] = [];
  /** Keys that need work: those waiting, and those added while in work. */
  readonly #dirty = new Set<string>();
  readonly #processing = new Map<string, number>();
  readonly #addedMs = new Map<string, number>();
  readonly #timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly atMs: number }>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  readonly #bucket: TokenBucket;
  readonly #options: WorkQueueOptions;
  readonly #now: () => number;
  #closed = false;
  #drained: Deferred<undefined> | undefined;

  constructor(options: WorkQueueOptions = {}) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#bucket = new TokenBucket({
      perSecond: options.perSecond ?? 10,
      burst: options.burst ?? 100,
      now: this.#now,
    });
  }

  get depth(): number {
    return this.#waiting.length;
  }

  /** Milliseconds the oldest of the keys in work has been worked on, and the sum over all. */
  unfinished(): { readonly longestMs: number; readonly totalMs: number } {
    let longestMs = 0;
    let totalMs = 0;
    for (const startedMs of this.#processing.values()) {
      const ms = this.#now() - startedMs;
      longestMs = Math.max(longestMs, ms);
      totalMs += ms;
    }
    return { longestMs, totalMs };
  }

  add(key: string): void {
    if (this.#closed || this.#dirty.has(key)) return;
    this.#options.metrics?.added();
    this.#dirty.add(key);
    this.#addedMs.set(key, this.#now());
    if (!this.#processing.has(key)) this.#enqueue(key);
  }

  /** Adds the key after a wait. Of several such calls the earliest counts; an `add` meanwhile does not cancel it. */
  addAfter(key: string, waitMs: number): void {
    if (this.#closed) return;
    if (waitMs <= 0) {
      this.add(key);
      return;
    }
    const atMs = this.#now() + waitMs;
    const planned = this.#timers.get(key);
    if (planned !== undefined) {
      if (planned.atMs <= atMs) return;
      clearTimeout(planned.timer);
    }
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.add(key);
    }, waitMs);
    this.#timers.set(key, { timer, atMs });
  }

  /** Adds the key after a wait that grows with every call until `forget`. @returns the wait in milliseconds */
  addRateLimited(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#options.metrics?.retried();
    const base = this.#options.itemBaseMs ?? 5;
    const itemMs = Math.min(base * 2 ** Math.min(failures, 40), this.#options.itemMaxMs ?? 300_000);
    const waitMs = Math.max(itemMs, this.#bucket.reserve());
    this.addAfter(key, waitMs);
    return waitMs;
  }

  /** The key succeeded: its next failure starts from the first wait. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Failures since the last `forget`. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Takes the next key; `done` must follow. @returns undefined when the queue is closed and empty */
  get(): Promise<string | undefined> {
    const key = this.#waiting.shift();
    if (key !== undefined) return Promise.resolve(this.#begin(key));
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
    });
  }

  done(key: string): void {
    const startedMs = this.#processing.get(key);
    if (startedMs === undefined) return;
    this.#processing.delete(key);
    this.#options.metrics?.finished(this.#now() - startedMs);
    if (this.#dirty.has(key)) this.#enqueue(key);
    this.#checkDrained();
  }

  /** Refuses new keys and resolves when those in work are done; keys that still wait are dropped. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.length = 0;
    this.#dirty.clear();
    for (const take of this.#takers.splice(0)) take(undefined);
    this.#drained ??= new Deferred<undefined>();
    this.#checkDrained();
    await this.#drained.promise;
  }

  #enqueue(key: string): void {
    if (this.#closed) return;
    const take = this.#takers.shift();
    if (take !== undefined) {
      take(this.#begin(key));
      return;
    }
    this.#waiting.push(key);
    this.#options.metrics?.depth(this.#waiting.length);
  }

  #begin(key: string): string {
    this.#dirty.delete(key);
    const nowMs = this.#now();
    this.#processing.set(key, nowMs);
    this.#options.metrics?.started(nowMs - (this.#addedMs.get(key) ?? nowMs));
    this.#addedMs.delete(key);
    this.#options.metrics?.depth(this.#waiting.length);
    return key;
  }

  #checkDrained(): void {
    if (this.#closed && this.#processing.size === 0) this.#drained?.resolve(undefined);
  }
}
