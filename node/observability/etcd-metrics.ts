import { Counter, Gauge, type Registry } from "prom-client";
import { CHANNELS } from "./channels.ts";
import { type NodeHandle } from "./events.ts";
import { listen } from "./listen.ts";
import { type NodeSnapshot } from "./metrics.ts";
import { type PeerSnapshot } from "./peer-metrics.ts";
import { addTallies, Tally } from "./tally.ts";

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
  ["etcd_server_proposals_pending", "As concord_writes_pending", (now) => now.pendingWrites],
  ["etcd_server_quota_backend_bytes", "As concord_store_quota_bytes", (now) => now.quotaBytes],
  ["etcd_mvcc_db_total_size_in_bytes", "As concord_store_bytes", (now) => now.databaseBytes],
  ["etcd_mvcc_db_total_size_in_use_in_bytes", "As concord_store_in_use_bytes", (now) => now.databaseBytesInUse],
  ["etcd_debugging_mvcc_keys_total", "As concord_store_keys", (now) => now.keys],
  ["etcd_debugging_mvcc_current_revision", "As concord_store_revision", (now) => now.revision],
  ["etcd_debugging_mvcc_compact_revision", "As concord_store_compact_revision", (now) => now.compactRevision],
];

const PEER_COUNTERS: readonly [
  name: string,
  help: string,
  label: "To" | "From",
  value: (peer: PeerSnapshot) => number,
][] = [
  ["etcd_network_peer_sent_bytes_total", "As concord_peer_sent_bytes_total", "To", (peer) => peer.sentBytes],
  ["etcd_network_peer_received_bytes_total", "As concord_peer_received_bytes_total", "From", (p) => p.receivedBytes],
  [
    "etcd_network_peer_sent_failures_total",
    "As concord_peer_dropped_frames_total, for all reasons",
    "To",
    ({ droppedFrames }) => Object.values(droppedFrames).reduce((sum, count) => sum + count, 0),
  ],
];

/** `count` bounds, each twice the one before, as etcd has them. */
const doubling = (first: number, count: number): number[] => Array.from({ length: count }, (_, at) => first * 2 ** at);
const DISK_BUCKETS = doubling(0.001, 14);
const NETWORK_BUCKETS = doubling(0.0001, 16);

/**
 * Names of etcd's for what the node knows, so that what watched etcd goes on.
 *
 * @returns What ends the counting.
 */
export function addEtcdMetrics(
  registers: Registry[],
  node: NodeHandle,
  snapshot: () => NodeSnapshot,
  peers: () => readonly PeerSnapshot[],
): () => void {
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
  for (const [name, help, label, value] of PEER_COUNTERS) {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers,
      collect() {
        this.reset();
        for (const peer of peers()) this.inc({ [label]: peer.memberId }, value(peer));
      },
    });
  }
  const ends = [...countConsensus(registers, node), ...timeDisk(registers, node), timePeers(registers, node, peers)];
  return () => {
    for (const end of ends) end();
  };
}

function countConsensus(registers: Registry[], node: NodeHandle): (() => void)[] {
  const leaderChanges = new Counter({
    name: "etcd_server_leader_changes_seen_total",
    help: "Leaders that this member began to follow, or became",
    registers,
  });
  const failed = new Counter({
    name: "etcd_server_proposals_failed_total",
    help: "Writes that failed or whose outcome is unknown; refusals of the state machine are answers",
    registers,
  });
  return [
    listen(CHANNELS.leader, node, ({ leaderId }) => {
      if (leaderId !== "") leaderChanges.inc();
    }),
    listen(CHANNELS.answered, node, ({ reason }) => {
      if (reason.startsWith("CONCORD_")) failed.inc();
    }),
  ];
}

function timeDisk(registers: Registry[], node: NodeHandle): (() => void)[] {
  const syncs = new Tally(DISK_BUCKETS);
  const commits = new Tally(DISK_BUCKETS);
  const histograms: readonly [name: string, help: string, tally: Tally][] = [
    ["etcd_disk_wal_fsync_duration_seconds", "A write of the log and its fdatasync", syncs],
    ["etcd_disk_backend_commit_duration_seconds", "The last, atomic write of a checkpoint", commits],
  ];
  for (const [name, help, tally] of histograms)
    addTallies(registers, { name, help, labelNames: [] }, () => [[{}, tally]]);
  return [
    listen(CHANNELS.synced, node, ({ durationMs }) => syncs.add(durationMs)),
    listen(CHANNELS.checkpoint, node, ({ step, commitMs }) => {
      if (step === "written") commits.add(commitMs);
    }),
  ];
}

function timePeers(registers: Registry[], node: NodeHandle, peers: () => readonly PeerSnapshot[]): () => void {
  const roundTrips = new Map<string, Tally>();
  addTallies(
    registers,
    {
      name: "etcd_network_peer_round_trip_time_seconds",
      help: "From a ping to its answer, over each connection with another member",
      labelNames: ["To"],
    },
    () => {
      const present = new Set(peers().map(({ memberId }) => memberId));
      for (const memberId of roundTrips.keys()) if (!present.has(memberId)) roundTrips.delete(memberId);
      return [...roundTrips].map(([To, tally]) => [{ To }, tally]);
    },
  );
  return listen(CHANNELS.peer, node, ({ memberId, durationMs }) => {
    const known = roundTrips.get(memberId) ?? new Tally(NETWORK_BUCKETS);
    roundTrips.set(memberId, known);
    known.add(durationMs);
  });
}
