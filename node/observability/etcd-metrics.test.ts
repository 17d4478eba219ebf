import { expect, test } from "vitest";
import { SNAPSHOT } from "../../test/support/node-snapshot.ts";
import { CHANNELS } from "./channels.ts";
import { type ApiRequest } from "./events.ts";
import { NodeMetrics } from "./metrics.ts";
import { type PeerSnapshot } from "./peer-metrics.ts";

/**
 * The alerts of etcd's monitoring mixin and the metrics in their expressions, with the labels they pick by or report:
 * https://github.com/etcd-io/etcd/blob/main/contrib/mixin/alerts/alerts.libsonnet. `up` is Prometheus's own.
 */
const ALERTS: Readonly<Record<string, readonly string[]>> = {
  etcdMembersDown: ["etcd_network_peer_sent_failures_total{To}"],
  etcdNoLeader: ["etcd_server_has_leader"],
  etcdHighNumberOfLeaderChanges: ["etcd_server_leader_changes_seen_total"],
  etcdHighNumberOfFailedGRPCRequests: ["grpc_server_handled_total{grpc_code,grpc_method,grpc_service,grpc_type}"],
  etcdGRPCRequestsSlow: ["grpc_server_handling_seconds_bucket{grpc_method,grpc_service,grpc_type,le}"],
  etcdMemberCommunicationSlow: ["etcd_network_peer_round_trip_time_seconds_bucket{To,le}"],
  etcdHighNumberOfFailedProposals: ["etcd_server_proposals_failed_total"],
  etcdHighFsyncDurations: ["etcd_disk_wal_fsync_duration_seconds_bucket{le}"],
  etcdHighCommitDurations: ["etcd_disk_backend_commit_duration_seconds_bucket{le}"],
  etcdDatabaseQuotaLowSpace: ["etcd_mvcc_db_total_size_in_bytes", "etcd_server_quota_backend_bytes"],
  etcdExcessiveDatabaseGrowth: ["etcd_mvcc_db_total_size_in_bytes", "etcd_server_quota_backend_bytes"],
  etcdDatabaseHighFragmentationRatio: ["etcd_mvcc_db_total_size_in_use_in_bytes", "etcd_mvcc_db_total_size_in_bytes"],
};
/** What its dashboard shows besides. */
const DASHBOARD = [
  "etcd_network_peer_received_bytes_total{From}",
  "etcd_network_peer_sent_bytes_total{To}",
  "etcd_server_proposals_applied_total",
  "etcd_server_proposals_committed_total",
  "etcd_server_proposals_pending",
  "grpc_server_started_total{grpc_method,grpc_service,grpc_type}",
  "process_resident_memory_bytes",
];

const PEER: PeerSnapshot = {
  memberId: "00000000000000b2",
  connected: true,
  bufferedBytes: 0,
  connections: 1,
  sentFrames: 10,
  sentBytes: 1000,
  receivedFrames: 20,
  receivedBytes: 2000,
  droppedFrames: { disconnected: 3, full: 1, tooLarge: 0 },
};

async function linesAfter(act: (node: { name: string }) => void): Promise<string[]> {
  const node = { name: "a" };
  const metrics = new NodeMetrics(
    node,
    () => SNAPSHOT,
    () => [PEER],
  );
  act(node);
  // A second look must not count anything twice.
  await metrics.text();
  const { text } = await metrics.text();
  metrics.close();
  return text.split("\n");
}

const requestAt = (node: { name: string }, door: ApiRequest["door"], operation: string): ApiRequest => ({
  node,
  door,
  service: operation === "Watch" ? "etcdserverpb.Watch" : "etcdserverpb.KV",
  operation,
  kind: operation === "Watch" ? "bidiStream" : "unary",
  traceparent: undefined,
  trace: undefined,
});

test("every alert and the dashboard of etcd's mixin find their metrics, with their labels", async () => {
  const lines = await linesAfter((node) => {
    const request = requestAt(node, "etcd", "Put");
    CHANNELS.started.publish(request);
    CHANNELS.finished.publish({ node, request, status: 0, durationMs: 1 });
    CHANNELS.peer.publish({ node, memberId: PEER.memberId, durationMs: 1 });
  });
  const series = new Set(
    lines
      .filter((line) => !line.startsWith("#"))
      .map((line) => {
        const [, name = "", labels] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? [];
        if (labels === undefined) return name;
        const names = [...labels.matchAll(/([A-Za-z_]+)="/g)].map((match) => match[1]);
        return `${name}{${names.toSorted((a = "", b = "") => (a < b ? -1 : 1)).join(",")}}`;
      }),
  );
  const wanted = [...new Set([...Object.values(ALERTS).flat(), ...DASHBOARD])];
  expect(wanted.filter((each) => !series.has(each))).toEqual([]);
});

test("calls are counted as gRPC servers in Go do, those of the gateway too", async () => {
  const lines = await linesAfter((node) => {
    for (const door of ["etcd", "gateway", "http"] as const) {
      const request = requestAt(node, door, "Put");
      const known = door === "http" ? { ...request, service: "" } : request;
      CHANNELS.started.publish(known);
      CHANNELS.finished.publish({ node, request: known, status: door === "etcd" ? 14 : 0, durationMs: 4 });
    }
    CHANNELS.started.publish(requestAt(node, "etcd", "Watch"));
    // Another node in this process.
    const other = { name: "a" };
    CHANNELS.finished.publish({ node: other, request: requestAt(other, "etcd", "Put"), status: 0, durationMs: 4 });
  });
  const put = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
  const watch = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
  for (const line of [
    `grpc_server_started_total{${put}} 2`,
    `grpc_server_started_total{${watch}} 1`,
    `grpc_server_handled_total{${put},grpc_code="OK"} 1`,
    `grpc_server_handled_total{${put},grpc_code="Unavailable"} 1`,
    `grpc_server_handling_seconds_bucket{le="0.0025",${put}} 0`,
    `grpc_server_handling_seconds_bucket{le="0.005",${put}} 2`,
    `grpc_server_handling_seconds_bucket{le="+Inf",${put}} 2`,
    `grpc_server_handling_seconds_sum{${put}} 0.008`,
    `grpc_server_handling_seconds_count{${put}} 2`,
    'concord_requests_total{door="etcd",operation="Put",status="14"} 1',
    'concord_requests_total{door="gateway",operation="Put",status="0"} 1',
    'concord_requests_total{door="http",operation="Put",status="0"} 1',
  ])
    expect(lines).toContain(line);
});

test("leaders, failed writes, disk and network are counted from what the node says", async () => {
  const lines = await linesAfter((node) => {
    const answered = { node, operation: "put", durationMs: 1, request: undefined };
    CHANNELS.leader.publish({ node, leaderId: "", previous: "b2", term: 2 });
    CHANNELS.leader.publish({ node, leaderId: "a1", previous: "", term: 3 });
    CHANNELS.answered.publish({ ...answered, outcome: "ok", reason: "" });
    CHANNELS.answered.publish({ ...answered, outcome: "failed", reason: "leaseNotFound" });
    CHANNELS.answered.publish({ ...answered, outcome: "unknown", reason: "CONCORD_OUTCOME_UNKNOWN" });
    for (const durationMs of [0.5, 3, 9000]) CHANNELS.synced.publish({ node, durationMs });
    const checkpoint = { node, index: 7, durationMs: 500 };
    CHANNELS.checkpoint.publish({ ...checkpoint, step: "written", commitMs: 5 });
    CHANNELS.checkpoint.publish({ ...checkpoint, step: "failed", commitMs: 0 });
    CHANNELS.peer.publish({ node, memberId: PEER.memberId, durationMs: 0.3 });
    // A peer that is gone takes its series along.
    CHANNELS.peer.publish({ node, memberId: "00000000000000c3", durationMs: 1 });
  });
  for (const line of [
    "etcd_server_leader_changes_seen_total 1",
    "etcd_server_proposals_failed_total 1",
    'concord_writes_not_done_total{reason="leaseNotFound"} 1',
    'concord_writes_not_done_total{reason="CONCORD_OUTCOME_UNKNOWN"} 1',
    'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 1',
    'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 2',
    'etcd_disk_wal_fsync_duration_seconds_bucket{le="8.192"} 2',
    "etcd_disk_wal_fsync_duration_seconds_count 3",
    "etcd_disk_backend_commit_duration_seconds_sum 0.005",
    "etcd_disk_backend_commit_duration_seconds_count 1",
    `etcd_network_peer_round_trip_time_seconds_count{To="${PEER.memberId}"} 1`,
    `etcd_network_peer_sent_failures_total{To="${PEER.memberId}"} 4`,
    `etcd_network_peer_received_bytes_total{From="${PEER.memberId}"} 2000`,
    "etcd_server_proposals_pending 3",
    "concord_writes_pending 3",
    "concord_store_rows_with_end 1",
  ])
    expect(lines).toContain(line);
  expect(lines.join()).not.toContain("00000000000000c3");
});
