import { afterAll, beforeAll, expect, test } from "vitest";
import { ProcessCluster } from "../chaos/cluster.ts";
import { leasesThroughKills } from "../chaos/lease-rounds.ts";

// A small `npm run chaos:leases`, which measures how late ends come as well.

let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
}, 60_000);

afterAll(async () => {
  await cluster.stop();
});

test("no lease ends before the time that its client was told, and every one that is left alone ends", async () => {
  const { early, endless, left, kept } = await leasesThroughKills(cluster, 100, 1);
  expect({ early, endless }).toEqual({ early: [], endless: [] });
  expect(left.length).toBeGreaterThan(0);
  expect(kept.map(({ door }) => door)).toEqual(["etcd gRPC stream", "REST"]);
  for (const { renewals, leases } of kept) expect(renewals).toBeGreaterThanOrEqual(leases);
}, 120_000);
