import { afterAll, beforeAll, expect, test } from "vitest";
import { CHANNELS } from "../../node/observability/channels.ts";
import { EtcdClient } from "../chaos/etcd-client.ts";
import { measureChannels } from "./channels.ts";
import { generate } from "./generator.ts";
import { type CallResult, GrpcConnection } from "./grpc-connection.ts";
import { type Load } from "./load.ts";
import { fill, measure } from "./measurement.ts";
import { workThrough } from "./million-steps.ts";
import { startConcord, type Subject } from "./subjects.ts";

const LOAD: Omit<Load, "kind" | "host"> = {
  connections: 4,
  inFlight: 16,
  keys: 300,
  valueBytes: 256,
  warmUpMs: 100,
  measureMs: 300,
};

let subject: Subject;

beforeAll(async () => {
  subject = await startConcord(1);
}, 60_000);
afterAll(async () => subject.stop());

test("a get of a key that is not there is not a good answer", async () => {
  const result = await generate({ ...LOAD, kind: "get", host: await subject.leader() });
  expect(result.operations).toBe(0);
  expect(result.failed).toBeGreaterThan(0);
});

test("an answer is good when its status is, and only then", async () => {
  const connection = await GrpcConnection.open(await subject.leader(), "/etcdserverpb.KV/Put");
  const put = async (message: Buffer): Promise<CallResult> =>
    new Promise((resolve) => {
      connection.call(message, resolve);
    });
  const key = Buffer.from([0x0a, 1, 0x61]);
  const [withKey, withoutKey] = await Promise.all([put(key), put(Buffer.alloc(0))]);
  expect(withKey.ok).toBe(true);
  expect(withoutKey.ok).toBe(false);
  connection.close();
  expect((await put(key)).ok).toBe(false);
});

test("what is filled in is really there, and every answer under load is good", async () => {
  await fill(subject, LOAD);
  const client = new EtcdClient(`http://${await subject.leader()}`);
  const rows = await client.list("bench/", 5_000);
  client.close();
  expect(rows.map(({ value }) => value.length)).toEqual(Array.from({ length: LOAD.keys }, () => LOAD.valueBytes));
  for (const kind of ["put", "get"] as const) {
    // Rejects when one answer was not good.
    const { perSecond, p50Ms, p99Ms, serverUs } = await measure(subject, { ...LOAD, kind }, subject.pids);
    expect(perSecond).toBeGreaterThan(0);
    expect(p99Ms).toBeGreaterThanOrEqual(p50Ms);
    expect(serverUs).toBeGreaterThan(0);
  }
});

test("what the diagnostics channels cost is measured, and nobody listens afterwards", async () => {
  const { unheard, heard } = await measureChannels({ reads: 1000, writes: 64 });
  for (const { getNs, putUs } of [unheard, heard]) {
    expect(getNs).toBeGreaterThan(0);
    expect(putUs).toBeGreaterThan(0);
  }
  expect(Object.values(CHANNELS).some(({ hasSubscribers }) => hasSubscribers)).toBe(false);
});

test("everything that touches all keys is done, and told apart from what it holds up", async () => {
  const { steps } = await workThrough(subject, 3_000, 256);
  expect(steps.map(({ name }) => name)).toEqual([
    "fill",
    "snapshot, read to its end",
    "list by pages, with counts",
    "hash",
    "restart of all members",
    "delete by prefix",
  ]);
  for (const { name, seconds, waits, stallMs } of steps) {
    expect(seconds).toBeGreaterThan(0);
    if (name !== "restart of all members")
      expect([waits?.longestReadMs, stallMs]).toEqual([expect.any(Number), expect.any(Number)]);
  }
}, 120_000);
