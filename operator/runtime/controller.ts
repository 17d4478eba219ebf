import { NotLeaderError, TerminalError } from "./errors.ts";
import { type Logger } from "./logger.ts";
import { type OperatorMetrics } from "./metrics.ts";
import { WorkQueue } from "./work-queue.ts";

/** Undefined `requeueAfterMs`: nothing to do until something changes. */
export interface ReconcileResult {
  readonly requeueAfterMs?: number | undefined;
}

/**
 * Brings one object closer to its spec. Level-triggered: it gets the key alone and must read all state anew. Throwing
 * means a retry with growing waits, except for TerminalError.
 */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult>;

export interface ControllerOptions {
  readonly name: string;
  /** Keys worked on at the same time. @default 4 */
  readonly concurrency?: number;
  /** Milliseconds one reconcile may take before its signal fires. @default 120000 */
  readonly timeoutMs?: number;
  /** Longest wait between two tries of a failing key, in milliseconds. @default 300000 */
  readonly retryMsMax?: number;
}

/** Takes keys from a queue and reconciles them. */
export class Controller {
  readonly queue: WorkQueue;
  readonly #options: ControllerOptions;
  readonly #reconcile: Reconcile;
  readonly #metrics: OperatorMetrics;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  #workers: Promise<unknown> | undefined;

  constructor(reconcile: Reconcile, metrics: OperatorMetrics, log: Logger, options: ControllerOptions) {
    this.#reconcile = reconcile;
    this.#metrics = metrics;
    this.#log = log.child({ controller: options.name });
    this.#options = options;
    this.queue = new WorkQueue({
      metrics: metrics.workQueue(options.name),
      ...(options.retryMsMax === undefined ? {} : { itemMaxMs: options.retryMsMax }),
    });
    metrics.watchQueue(options.name, this.queue);
  }

  /** Starts the workers. Keys added before wait until now. */
  start(): void {
    const count = this.#options.concurrency ?? 4;
    this.#metrics.maxConcurrentReconciles.set({ controller: this.#options.name }, count);
    this.#workers ??= Promise.all(Array.from({ length: count }, () => this.#work()));
  }

  /** Ends the reconciles under way and waits for them. */
  async close(): Promise<void> {
    const closed = this.queue.close();
    this.#abort.abort();
    await closed;
    await this.#workers;
  }

  async #work(): Promise<void> {
    for (;;) {
      const key = await this.queue.get();
      if (key === undefined) return;
      try {
        await this.#one(key);
      } finally {
        this.queue.done(key);
      }
    }
  }

  async #one(key: string): Promise<void> {
    const controller = this.#options.name;
    this.#metrics.activeWorkers.inc({ controller });
    const startedMs = performance.now();
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? 120_000);
    let result: "success" | "requeue_after" | "error" = "success";
    try {
      const { requeueAfterMs } = await this.#reconcile(key, AbortSignal.any([timeout, this.#abort.signal]));
      this.queue.forget(key);
      if (requeueAfterMs !== undefined) {
        result = "requeue_after";
        this.queue.addAfter(key, requeueAfterMs);
      }
    } catch (error) {
      result = "error";
      this.#onError(key, error);
    } finally {
      this.#metrics.activeWorkers.dec({ controller });
      this.#metrics.reconcileSeconds.observe({ controller }, (performance.now() - startedMs) / 1000);
      this.#metrics.reconciles.inc({ controller, result });
    }
  }

  #onError(key: string, error: unknown): void {
    const controller = this.#options.name;
    if (this.#abort.signal.aborted || error instanceof NotLeaderError) return;
    this.#metrics.reconcileErrors.inc({ controller });
    if (error instanceof TerminalError) {
      this.#metrics.terminalErrors.inc({ controller });
      this.queue.forget(key);
      this.#log.error({ key, err: error }, "Reconcile failed for good");
      return;
    }
    const waitMs = this.queue.addRateLimited(key);
    this.#log.warn({ key, err: error, retryInMs: Math.round(waitMs) }, "Reconcile failed");
  }
}
