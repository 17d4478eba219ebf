import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import { type WorkQueue, type WorkQueueMetrics } from "./work-queue.ts";

const RECONCILE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const QUEUE_BUCKETS = [0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000];

/**
 * Metrics under the names and labels of controller-runtime and client-go, so that existing dashboards and alerts work.
 * Each instance has a registry of its own.
 */
export class OperatorMetrics {
  readonly registry = new Registry();
  readonly reconciles = this.#counter("controller_runtime_reconcile_total", "Reconciles by result", [
    "controller",
    "result",
  ]);
  readonly reconcileErrors = this.#counter("controller_runtime_reconcile_errors_total", "Failed reconciles", [
    "controller",
  ]);
  readonly terminalErrors = this.#counter(
    "controller_runtime_terminal_reconcile_errors_total",
    "Reconciles that failed for good",
    ["controller"],
  );
  readonly reconcileSeconds = this.#histogram(
    "controller_runtime_reconcile_time_seconds",
    "Duration of reconciles",
    ["controller"],
    RECONCILE_BUCKETS,
  );
  readonly activeWorkers = this.#gauge("controller_runtime_active_workers", "Reconciles under way", ["controller"]);
  readonly maxConcurrentReconciles = this.#gauge(
    "controller_runtime_max_concurrent_reconciles",
    "Reconciles that may run at the same time",
    ["controller"],
  );
  readonly requests = this.#counter("rest_client_requests_total", "Requests to the Kubernetes API", ["code", "method"]);
  readonly leader = this.#gauge("leader_election_master_status", "1 while this process leads", ["name"]);
  readonly actions = this.#counter("concord_operator_actions_total", "Actions taken on clusters by kind and result", [
    "action",
    "result",
  ]);
  readonly clusterReady = this.#gauge(
    "concord_operator_cluster_ready",
    "1 while the condition Ready of a cluster is True",
    ["namespace", "name"],
  );
  readonly certificateNotAfter = this.#gauge(
    "concord_operator_certificate_expiry_timestamp_seconds",
    "End of validity of the certificates the operator manages",
    ["namespace", "name"],
  );
  readonly #depth = this.#gauge("workqueue_depth", "Keys that wait", ["name"]);
  readonly #adds = this.#counter("workqueue_adds_total", "Keys added", ["name"]);
  readonly #retries = this.#counter("workqueue_retries_total", "Retries", ["name"]);
  readonly #queueSeconds = this.#histogram(
    "workqueue_queue_duration_seconds",
    "Time a key waits",
    ["name"],
    QUEUE_BUCKETS,
  );
  readonly #workSeconds = this.#histogram(
    "workqueue_work_duration_seconds",
    "Time a key is worked on",
    ["name"],
    QUEUE_BUCKETS,
  );

  /** @param options.process also export CPU, memory and event-loop metrics of this process @default false */
  constructor(options: { readonly process?: boolean } = {}) {
    if (options.process === true) collectDefaultMetrics({ register: this.registry });
  }

  workQueue(name: string): WorkQueueMetrics {
    return {
      added: () => this.#adds.inc({ name }),
      depth: (items) => this.#depth.set({ name }, items),
      started: (waitedMs) => this.#queueSeconds.observe({ name }, waitedMs / 1000),
      finished: (workedMs) => this.#workSeconds.observe({ name }, workedMs / 1000),
      retried: () => this.#retries.inc({ name }),
    };
  }

  /** Exports the ages of the keys in work, read when scraped. */
  watchQueue(name: string, queue: WorkQueue): void {
    new Gauge({
      name: "workqueue_unfinished_work_seconds",
      help: "Time spent on keys that are not done yet",
      labelNames: ["name"],
      registers: [this.registry],
      collect() {
        this.set({ name }, queue.unfinished().totalMs / 1000);
      },
    });
    new Gauge({
      name: "workqueue_longest_running_processor_seconds",
      help: "Time spent on the key that has been worked on for longest",
      labelNames: ["name"],
      registers: [this.registry],
      collect() {
        this.set({ name }, queue.unfinished().longestMs / 1000);
      },
    });
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #gauge<L extends string>(name: string, help: string, labelNames: L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram<L extends string>(name: string, help: string, labelNames: L[], buckets: number[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }
}
