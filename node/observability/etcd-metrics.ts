import { Gauge, type Registry } from "prom-client";
import { type NodeSnapshot } from "./metrics.ts";

/**
 * Metrics of etcd's that alerts and dashboards ask for, where this node knows the same number. The two counts of
 * proposals are gauges at etcd too: its commit index and its applied index.
 */
const GAUGES: readonly [name: string, help: string, value: (now: NodeSnapshot) => number][] = [
  ["etcd_server_has_leader", "As concord_raft_has_leader", (now) => Number(now.hasLeader)],
  ["etcd_server_is_leader", "As concord_raft_is_leader", (now) => Number(now.isLeader)],
  ["etcd_server_is_learner", "As concord_raft_is_learner", (now) => Number(now.isLearner)],
  ["etcd_server_proposals_committed_total", "As concord_raft_commit_index", (now) => now.commitIndex],
  ["etcd_server_proposals_applied_total", "As concord_raft_applied_index", (now) => now.appliedIndex],
  ["etcd_server_quota_backend_bytes", "As concord_store_quota_bytes", (now) => now.quotaBytes],
  ["etcd_mvcc_db_total_size_in_bytes", "As concord_store_bytes", (now) => now.databaseBytes],
  ["etcd_mvcc_db_total_size_in_use_in_bytes", "As concord_store_in_use_bytes", (now) => now.databaseBytesInUse],
  ["etcd_debugging_mvcc_keys_total", "As concord_store_keys", (now) => now.keys],
  ["etcd_debugging_mvcc_current_revision", "As concord_store_revision", (now) => now.revision],
  ["etcd_debugging_mvcc_compact_revision", "As concord_store_compact_revision", (now) => now.compactRevision],
];

/** Second names of what the node's own metrics say, so that what watched etcd goes on. */
export function addEtcdMetrics(registers: Registry[], snapshot: () => NodeSnapshot): void {
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
}
