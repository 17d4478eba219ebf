import { setTimeout as delay } from "node:timers/promises";
import { EtcdClient } from "../chaos/etcd-client.ts";
import { generate } from "./generator.ts";
import { Probe, type Waits } from "./probe.ts";
import { type Subject } from "./subjects.ts";
import { residentBytesOf } from "./system.ts";

const PREFIX = "bench/";
const CONNECTIONS = 16;
const FILL_IN_FLIGHT = 256;
const TIMEOUT_MS = 300_000;
const SETTLE_MS = 2_000;
const LOOK_MS = 20;
const ATTEMPT_MS = 1_000;

/** One thing that was done with all keys. */
export interface Step {
  readonly name: string;
  readonly seconds: number;
  /** Of a client that read one key of the same member meanwhile. */
  readonly waits?: Waits;
  /** Longest that the member's event loop stood still, ms; Concord's alone. */
  readonly stallMs?: number | undefined;
}

export interface Filled {
  /** All members together, divided by keys and members. */
  readonly residentBytesPerKey: number;
  readonly steps: readonly Step[];
}

/** Puts all keys, does everything that touches all of them, and takes them away again. */
export async function workThrough(subject: Subject, keys: number, valueBytes: number): Promise<Filled> {
  const before = resident(subject);
  const host = await subject.leader();
  const steps: Step[] = [];
  const load = { connections: CONNECTIONS, inFlight: FILL_IN_FLIGHT, keys, valueBytes, warmUpMs: 0, measureMs: 0 };
  steps.push(
    await watched("fill", host, async () => {
      const { operations, failed } = await generate({ ...load, kind: "fill", host });
      expectCount("puts", operations - failed, keys);
    }),
  );
  await delay(SETTLE_MS);
  const residentBytesPerKey = (resident(subject) - before) / keys / subject.pids.length;
  const client = new EtcdClient(`http://${host}`);
  try {
    steps.push(await watched("snapshot, read to its end", host, async () => client.snapshot()));
    steps.push(await watched("list by pages, with counts", host, async () => list(client, keys)));
    steps.push(await watched("hash", host, async () => client.hash(TIMEOUT_MS)));
  } finally {
    client.close();
  }
  steps.push(await restart(subject));
  const leader = await subject.leader();
  const after = new EtcdClient(`http://${leader}`);
  try {
    steps.push(await watched("delete by prefix", leader, async () => remove(after)));
  } finally {
    after.close();
  }
  return { residentBytesPerKey, steps };
}

async function watched(name: string, host: string, work: () => Promise<unknown>): Promise<Step> {
  const probe = await Probe.start(host);
  try {
    await probe.take();
    await stallMs(host);
    const at = performance.now();
    await work();
    const seconds = (performance.now() - at) / 1000;
    return { name, seconds, waits: await probe.take(), stallMs: await stallMs(host) };
  } finally {
    await probe.stop();
  }
}

async function list(client: EtcdClient, keys: number): Promise<void> {
  let seen = 0;
  for await (const { kvs, count } of client.pages(PREFIX, TIMEOUT_MS)) {
    expectCount("keys from this page on", count, keys - seen);
    seen += kvs.length;
  }
  expectCount("keys", seen, keys);
}

/** Until nothing is left: a server may say before that its own time for an answer is over. */
async function remove(client: EtcdClient): Promise<void> {
  await client.deletePrefix(PREFIX, TIMEOUT_MS).catch(() => undefined);
  for (const deadline = performance.now() + TIMEOUT_MS; performance.now() < deadline;) {
    if ((await client.count(PREFIX, TIMEOUT_MS)) === 0) return;
    await delay(LOOK_MS);
  }
  throw new Error(`Not everything was deleted within ${TIMEOUT_MS} ms`);
}

/** From the kill of all members to the first write. */
async function restart(subject: Subject): Promise<Step> {
  const at = performance.now();
  await subject.crash();
  const started = performance.now();
  const clients = subject.members.map(({ clientUrl }) => new EtcdClient(clientUrl));
  try {
    for (let attempt = 0; performance.now() - at < TIMEOUT_MS; attempt += 1) {
      const [written] = await Promise.allSettled([clients[attempt % clients.length]?.put("restarted", "", ATTEMPT_MS)]);
      if (written.status === "fulfilled")
        return { name: "restart of all members", seconds: (performance.now() - started) / 1000 };
      await delay(LOOK_MS);
    }
    throw new Error(`${subject.name} does not write again within ${TIMEOUT_MS} ms`);
  } finally {
    for (const client of clients) client.close();
  }
}

/** Since the last time that it was asked for; undefined where there is no such figure. */
async function stallMs(host: string): Promise<number | undefined> {
  const text = await (await fetch(`http://${host}/metrics`)).text();
  const seconds = /^concord_event_loop_delay_max_seconds (\S+)$/m.exec(text)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

function resident({ pids }: Subject): number {
  return pids.reduce((sum, pid) => sum + residentBytesOf(pid), 0);
}

function expectCount(what: string, found: number, wanted: number): void {
  if (found !== wanted) throw new Error(`${found} ${what}, expected ${wanted}`);
}
