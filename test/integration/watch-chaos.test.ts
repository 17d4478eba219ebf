import { afterAll, beforeAll, expect, test } from "vitest";
import { ProcessCluster } from "../chaos/cluster.ts";
import { watchThroughFaults } from "../chaos/watch-rounds.ts";

// A small `npm run chaos:watches`.

const EVENTS = 6_000;
const KILLS = 2;
const NO_FAULTS = { gaps: 0, duplicates: 0, reorderings: 0, torn: 0, wrongLists: 0, examples: [] };

let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
}, 60_000);

afterAll(async () => {
  await cluster.stop();
});

test("every door tells of every change, once, in order, its txn whole, through kills and compactions", async () => {
  const { events, readers } = await watchThroughFaults(cluster, EVENTS, KILLS);
  expect(events).toBeGreaterThanOrEqual(EVENTS);
  expect(readers.map(({ door }) => door)).toEqual(
    ["etcd gRPC", "JSON gateway", "REST events", "WebSocket session", "in process"].flatMap((door) => [door, door]),
  );
  for (const reader of readers) expect(reader).toMatchObject({ door: reader.door, verdict: NO_FAULTS });
  // Somebody was cut off, and went on.
  expect(readers.some(({ verdict }) => verdict.resumed > 0)).toBe(true);
}, 240_000);
