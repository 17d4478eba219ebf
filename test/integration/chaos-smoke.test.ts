import { afterAll, beforeAll, expect, test } from "vitest";
import { ProcessCluster } from "../chaos/cluster.ts";
import { grpcPut } from "../chaos/request-loop.ts";
import { blackouts, keyedWrites, killLeaders, terminateLeaders } from "../chaos/rounds.ts";

// A small `npm run chaos`: real processes, real disks, real signals.

const CLIENTS = 8;
/** Far more than an election takes, also on a machine that does other things: the aim itself is measured by `npm run chaos`. */
const GAP_MAX_MS = 3_000;

let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  await cluster.healthy();
});

afterAll(async () => {
  await cluster.stop();
});

test("a killed leader takes no acknowledged write with it", async () => {
  const { verdict, gaps } = await killLeaders(cluster, 2, CLIENTS);
  expect(verdict).toMatchObject({ lost: [], resurrected: [] });
  expect(verdict.acknowledged).toBeGreaterThan(400);
  expect(Math.max(...gaps)).toBeLessThan(GAP_MAX_MS);
});

test("a leader that is asked to end hands over, and nobody's request fails", async () => {
  const { ends, failures } = await terminateLeaders(cluster, 1, grpcPut(cluster.endpoints));
  expect(failures).toEqual([]);
  expect(ends).toMatchObject([{ status: 0, signal: null }]);
  expect(ends[0]?.afterMs).toBeLessThan(5_000);
});

test("writes with idempotency keys that are sent until they are answered are applied once", async () => {
  const { writes, retries, wrong, differing } = await keyedWrites(cluster, 1, CLIENTS);
  expect({ wrong, differing }).toEqual({ wrong: [], differing: [] });
  expect(writes).toBeGreaterThan(400);
  // Those that are sent again on purpose alone are more.
  expect(retries).toBeGreaterThan(10);
});

test("a blackout of all members takes no acknowledged write with it", async () => {
  const { verdict } = await blackouts(cluster, 1, CLIENTS);
  expect(verdict).toMatchObject({ lost: [], resurrected: [] });
});
