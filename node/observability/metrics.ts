import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Registry } from "prom-client";
import { addEtcdMetrics } from "./etcd-metrics.ts";
import { CHANNELS } from "./channels.ts";
import { type NodeHandle } from "./events.ts";
import { listen } from "./listen.ts";
import { addPeerMetrics, type PeerSnapshot } from "./peer-metrics.ts";
import { addRequestMetrics } from "./request-metrics.ts";

/** The numbers a node has at any time; read when Prometheus asks, so that nothing is kept twice. */
export interface NodeSnapshot {
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly isLeader: boolean;
  readonly hasLeader: boolean;
  readonly isLearner: boolean;
  readonly revision: number;
  readonly compactRevision: number;
  readonly databaseBytes: number;
  readonly databaseBytesInUse: number;
  readonly quotaBytes: number;
  /** Live ones. */
  readonly keys: number;
  readonly leases: number;
  /** With a time to live. */
  readonly rowsWithEnd: number;
  /** That have no outcome yet, at this member. */
  readonly pendingWrites: number;
  readonly idempotencyKeys: number;
  readonly idempotencyBytes: number;
  readonly idempotencyBytesMax: number;
  readonly voters: number;
  readonly learners: number;
  readonly alarms: number;
  readonly watches: number;
  readonly connections: number;
  readonly sessions: number;
  /** Requests of sessions without an answer. */
  readonly sessionRequests: number;
  readonly sessionBufferedBytes: number;
  /** By the name of the limit, a fixed set. */
  readonly sessionLimitHits: Readonly<Record<string, number>>;
  /** Unix seconds; 0 without TLS. */
  readonly certificateNotAfter: number;
}

const LOOP_DELAY_RESOLUTION_MS = 20;

const GAUGES: readonly [name: string, help: string, value: (now: NodeSnapshot) => number][] = [
  ["concord_raft_term", "Term of the Raft log", (now) => now.term],
  ["concord_raft_commit_index", "Last committed entry known here", (now) => now.commitIndex],
  ["concord_raft_applied_index", "Last entry applied here", (now) => now.appliedIndex],
  ["concord_raft_is_leader", "1 at the leader", (now) => Number(now.isLeader)],
  ["concord_raft_has_leader", "1 where a leader is known", (now) => Number(now.hasLeader)],
  ["concord_raft_is_learner", "1 at a member without a vote", (now) => Number(now.isLearner)],
  ["concord_store_revision", "Revision of the store", (now) => now.revision],
  ["concord_store_compact_revision", "Revision below which history is gone", (now) => now.compactRevision],
  ["concord_store_bytes", "Bytes that count towards the quota, history included", (now) => now.databaseBytes],
  ["concord_store_in_use_bytes", "Bytes of the newest rows", (now) => now.databaseBytesInUse],
  ["concord_store_quota_bytes", "Bytes beyond which writes are refused", (now) => now.quotaBytes],
  ["concord_store_keys", "Keys that are there", (now) => now.keys],
  ["concord_store_leases", "Leases that are there", (now) => now.leases],
  ["concord_store_rows_with_end", "Rows with a time to live", (now) => now.rowsWithEnd],
  ["concord_writes_pending", "Writes at this member whose outcome is not known yet", (now) => now.pendingWrites],
  ["concord_idempotency_keys", "Idempotency keys that are remembered", (now) => now.idempotencyKeys],
  ["concord_idempotency_bytes", "Bytes they count for, in the quota too", (now) => now.idempotencyBytes],
  ["concord_idempotency_bytes_max", "Bytes beyond which new ones are refused", (now) => now.idempotencyBytesMax],
  ["concord_cluster_voters", "Members with a vote", (now) => now.voters],
  ["concord_cluster_learners", "Members without a vote", (now) => now.learners],
  ["concord_alarms_active", "Alarms that are set", (now) => now.alarms],
  ["concord_watches_open", "Open watches at this member", (now) => now.watches],
  ["concord_connections_open", "Open connections of clients", (now) => now.connections],
  ["concord_sessions_open", "Open sessions of the native protocol", (now) => now.sessions],
  ["concord_session_requests_in_flight", "Requests of sessions without an answer", (now) => now.sessionRequests],
  ["concord_session_buffered_bytes", "Bytes that wait to be read by sessions", (now) => now.sessionBufferedBytes],
  [
    "concord_certificate_expiry_seconds",
    "Unix time at which the server certificate ends",
    (now) => now.certificateNotAfter,
  ],
];

export interface MetricDescription {
  readonly name: string;
  /** `gauge`, `counter` or `histogram`. */
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** A node's metrics in its own registry, so that several nodes in one process do not mix. */
export class NodeMetrics {
  readonly #registry = new Registry();
  readonly #loopDelay: ReturnType<typeof monitorEventLoopDelay>;
  readonly #ends: readonly (() => void)[];

  /** @param peers Traffic with the other members. @default none */
  constructor(node: NodeHandle, snapshot: () => NodeSnapshot, peers: () => readonly PeerSnapshot[] = () => []) {
    const registers = [this.#registry];
    for (const [name, help, value] of GAUGES) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value(snapshot()));
        },
      });
    }
    new Counter({
      name: "concord_session_limit_hits_total",
      help: "How often sessions came up against a limit: sessions, frame, requests, watches, buffer",
      labelNames: ["limit"],
      registers,
      collect() {
        this.reset();
        for (const [limit, count] of Object.entries(snapshot().sessionLimitHits)) this.inc({ limit }, count);
      },
    });
    const endRequests = addRequestMetrics(registers, node);
    const endRefusals = countRefusals(registers, node);
    this.#loopDelay = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS });
    this.#loopDelay.enable();
    this.#addProcessGauges(registers);
    addPeerMetrics(registers, peers);
    this.#ends = [endRequests, endRefusals, addEtcdMetrics(registers, node, snapshot, peers)];
  }

  /** Every metric there is, in the order of `text`, for the reference. */
  descriptions(): readonly MetricDescription[] {
    return this.#registry.getMetricsAsArray().map((metric) => {
      const { name, type, help, labelNames = [] } = metric as typeof metric & { labelNames?: readonly string[] };
      return { name, type: String(type), help, labels: labelNames };
    });
  }

  async text(): Promise<{ readonly text: string; readonly contentType: string }> {
    return { text: await this.#registry.metrics(), contentType: this.#registry.contentType };
  }

  close(): void {
    for (const end of this.#ends) end();
    this.#loopDelay.disable();
    this.#registry.clear();
  }

  #addProcessGauges(registers: Registry[]): void {
    const delay = this.#loopDelay;
    const beyondResolution = (nanoseconds: number): number =>
      Math.max(0, nanoseconds / 1e9 - LOOP_DELAY_RESOLUTION_MS / 1000);
    let longest = 0;
    new Gauge({
      name: "concord_event_loop_delay_seconds",
      help: "99th percentile since the last time it was asked for",
      registers,
      collect() {
        this.set(beyondResolution(delay.percentile(99)));
        longest = beyondResolution(delay.max);
        delay.reset();
      },
    });
    new Gauge({
      name: "concord_event_loop_delay_max_seconds",
      help: "The longest since the last time it was asked for",
      registers,
      // Registered behind the percentile, and so collected behind it, which looks at both.
      collect() {
        this.set(longest);
      },
    });
    // The second name is the one that client libraries of Prometheus give it.
    for (const name of ["concord_process_resident_bytes", "process_resident_memory_bytes"]) {
      new Gauge({
        name,
        help: "Memory of the process",
        registers,
        collect() {
          this.set(process.memoryUsage.rss());
        },
      });
    }
    new Gauge({
      name: "concord_process_heap_bytes",
      help: "JavaScript heap in use",
      registers,
      collect() {
        this.set(process.memoryUsage().heapUsed);
      },
    });
  }
}

/** Limits of the state machine and of the loop refuse writes for a reason of a closed set. @returns What ends the counting. */
function countRefusals(registers: Registry[], node: NodeHandle): () => void {
  const refusals = new Counter({
    name: "concord_writes_not_done_total",
    help: "Writes of this member that were refused, failed, or have an unknown outcome: reason of the state machine or error code",
    labelNames: ["reason"],
    registers,
  });
  return listen(CHANNELS.answered, node, ({ reason }) => {
    if (reason !== "") refusals.inc({ reason });
  });
}
