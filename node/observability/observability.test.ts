import { expect, test } from "vitest";
import { SNAPSHOT as snapshot } from "../../test/support/node-snapshot.ts";
import { CHANNELS } from "./channels.ts";
import { type ApiRequest, type NodeHandle } from "./events.ts";
import { jsonLogger } from "./log.ts";
import { NodeMetrics } from "./metrics.ts";

test("nodes in one process count their own requests only, and stop with close", async () => {
  const [left, right]: [NodeHandle, NodeHandle] = [{ name: "left" }, { name: "right" }];
  const leftMetrics = new NodeMetrics(left, () => snapshot);
  const rightMetrics = new NodeMetrics(right, () => ({ ...snapshot, term: 4 }));
  const request: ApiRequest = {
    node: left,
    door: "etcd",
    service: "etcdserverpb.KV",
    operation: "Put",
    kind: "unary",
    traceparent: undefined,
    trace: undefined,
  };
  CHANNELS.finished.publish({ node: left, request, status: 0, durationMs: 2 });
  const counted = 'concord_requests_total{door="etcd",operation="Put",status="0"} 1';
  const { text, contentType } = await leftMetrics.text();
  expect(contentType).toContain("text/plain");
  expect(text).toContain(counted);
  expect(text).toContain('concord_request_duration_seconds_bucket{le="0.0025",door="etcd",operation="Put"} 1');
  expect(text).toContain("concord_raft_term 3");
  const other = (await rightMetrics.text()).text;
  expect(other).not.toContain(counted);
  expect(other).toContain("concord_raft_term 4");
  leftMetrics.close();
  rightMetrics.close();
  expect(CHANNELS.finished.hasSubscribers).toBe(false);
});

test("what watched etcd finds its numbers under etcd's names", async () => {
  const metrics = new NodeMetrics({ name: "a" }, () => snapshot);
  const { text } = await metrics.text();
  metrics.close();
  for (const line of [
    "etcd_server_has_leader 1",
    "etcd_server_quota_backend_bytes 1000",
    "etcd_mvcc_db_total_size_in_bytes 100",
    "etcd_mvcc_db_total_size_in_use_in_bytes 50",
    "etcd_server_proposals_committed_total 9",
    "etcd_debugging_mvcc_keys_total 5",
    "concord_idempotency_keys 6",
    "concord_store_leases 2",
  ])
    expect(text.split("\n")).toContain(line);
});

test("traffic is told by peer, and a peer that is gone is not told any more", async () => {
  const peer = {
    memberId: "00000000000000b2",
    connected: true,
    bufferedBytes: 5,
    connections: 2,
    sessions: 2,
    sessionRequests: 3,
    sessionBufferedBytes: 4,
    sessionLimitHits: { requests: 5 },
    sentFrames: 10,
    sentBytes: 1000,
    receivedFrames: 20,
    receivedBytes: 2000,
    droppedFrames: { disconnected: 3, full: 0, tooLarge: 1 },
  };
  let peers = [peer];
  const metrics = new NodeMetrics(
    { name: "a" },
    () => snapshot,
    () => peers,
  );
  // A second look must not count anything twice.
  await metrics.text();
  const { text } = await metrics.text();
  const label = '{peer="00000000000000b2"}';
  for (const line of [
    `concord_peer_connected${label} 1`,
    `concord_peer_buffered_bytes${label} 5`,
    `concord_peer_connections_total${label} 2`,
    `concord_peer_sent_frames_total${label} 10`,
    `concord_peer_sent_bytes_total${label} 1000`,
    `concord_peer_received_frames_total${label} 20`,
    `concord_peer_received_bytes_total${label} 2000`,
    'concord_peer_dropped_frames_total{peer="00000000000000b2",reason="disconnected"} 3',
    'concord_peer_dropped_frames_total{peer="00000000000000b2",reason="full"} 0',
    'concord_peer_dropped_frames_total{peer="00000000000000b2",reason="tooLarge"} 1',
  ]) {
    expect(text.split("\n")).toContain(line);
  }
  peers = [];
  expect((await metrics.text()).text).not.toContain("00000000000000b2");
  metrics.close();
});

test("every metric is named concord_<noun>_<unit>, or as etcd has it", async () => {
  const metrics = new NodeMetrics({ name: "a" }, () => snapshot);
  const names = [...(await metrics.text()).text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
  metrics.close();
  expect(names.length).toBeGreaterThan(10);
  for (const name of names) expect(name).toMatch(/^(concord|etcd|grpc|process)_[a-z]+(_[a-z]+)+$/);
});

test("log lines are JSON objects; what others wrote cannot begin a new line", () => {
  const lines: string[] = [];
  const logger = jsonLogger({ level: "info", fields: { member: "a" }, stream: { write: (line) => lines.push(line) } });
  logger.debug("Hidden");
  logger.warn("Connection refused", {
    remote: 'x\n{"level":"error"}\u001b[31m',
    error: new Error("outer", { cause: new Error("inner") }),
  });
  expect(lines).toHaveLength(1);
  expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
  const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  expect(line).toMatchObject({ level: "warn", message: "Connection refused", member: "a" });
  expect(new Date(String(line["time"])).getTime()).toBeGreaterThan(0);
  expect(JSON.stringify(line["error"])).toContain("inner");
  expect(lines[0]).not.toContain("\u001b");
});

test("etcd's levels above error say nothing, for no message is that bad", () => {
  for (const level of ["dpanic", "panic", "fatal"] as const) {
    const lines: string[] = [];
    jsonLogger({ level, stream: { write: (line) => lines.push(line) } }).error("The worst there is");
    expect(lines).toEqual([]);
  }
});
