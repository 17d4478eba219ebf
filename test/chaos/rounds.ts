import { setTimeout as delay } from "node:timers/promises";
import { type Ended, type ProcessCluster } from "./cluster.ts";
import { KeyedLoad, type KeyedVerdict } from "./keyed-load.ts";
import { type Verdict, WriteLoad } from "./load.ts";
import { type Request, RequestLoop } from "./request-loop.ts";

/** A cluster that does not write again within this after a fault is broken. */
const RECOVERY_TIMEOUT_MS = 20_000;
/** Writes between two faults. */
const WRITES_BETWEEN = 200;
const REQUESTS_BETWEEN = 3;
/** How long a fault is watched before the member comes back. */
const WATCH_MS = 1_000;

export interface FaultRound {
  readonly verdict: Verdict;
  /** Per fault: the longest time without an acknowledged write, ms. */
  readonly gaps: readonly number[];
  readonly errors: ReadonlyMap<string, number>;
}

export interface TermRound {
  readonly ends: readonly Ended[];
  readonly requests: number;
  readonly failures: readonly string[];
  readonly slowestMs: number;
}

/** Kills the leader, again and again, while clients write. */
export async function killLeaders(cluster: ProcessCluster, times: number, clients: number): Promise<FaultRound> {
  return underLoad(cluster, clients, "kill/", async (load) => {
    const gaps: number[] = [];
    for (let round = 0; round < times; round += 1) {
      await cluster.healthy();
      await load.advance(WRITES_BETWEEN, RECOVERY_TIMEOUT_MS);
      const leader = await cluster.leader();
      const at = performance.now();
      await cluster.end(leader, "SIGKILL");
      await delay(WATCH_MS);
      await load.advance(WRITES_BETWEEN, RECOVERY_TIMEOUT_MS);
      gaps.push(load.widestGap(at, performance.now()));
      cluster.run(leader);
    }
    return gaps;
  });
}

/** Kills the leader, again and again, while clients send every write with an idempotency key until it is answered. */
export async function keyedWrites(cluster: ProcessCluster, times: number, clients: number): Promise<KeyedVerdict> {
  await cluster.healthy();
  const load = new KeyedLoad(cluster.endpoints, clients, "keyed/");
  try {
    for (let round = 0; round < times; round += 1) {
      await cluster.healthy();
      await load.advance(WRITES_BETWEEN, RECOVERY_TIMEOUT_MS);
      const leader = await cluster.leader();
      await cluster.end(leader, "SIGKILL");
      await delay(WATCH_MS);
      await load.advance(WRITES_BETWEEN, RECOVERY_TIMEOUT_MS);
      cluster.run(leader);
    }
  } finally {
    await load.stop();
  }
  await cluster.healthy();
  return load.verify(cluster.endpoints[0] ?? "");
}

/** Kills all members at once, again and again, while clients write. */
export async function blackouts(cluster: ProcessCluster, times: number, clients: number): Promise<FaultRound> {
  return underLoad(cluster, clients, "blackout/", async (load) => {
    const gaps: number[] = [];
    for (let round = 0; round < times; round += 1) {
      await cluster.healthy();
      await load.advance(WRITES_BETWEEN, RECOVERY_TIMEOUT_MS);
      const at = performance.now();
      await Promise.all(cluster.members.map(async (member) => cluster.end(member, "SIGKILL")));
      for (const member of cluster.members) cluster.run(member);
      await load.advance(WRITES_BETWEEN, RECOVERY_TIMEOUT_MS);
      gaps.push(load.widestGap(at, performance.now()));
    }
    return gaps;
  });
}

/** Asks the leader to end, again and again, while somebody makes one request after the other. */
export async function terminateLeaders(cluster: ProcessCluster, times: number, request: Request): Promise<TermRound> {
  await cluster.healthy();
  const loop = new RequestLoop(request);
  const ends: Ended[] = [];
  try {
    for (let round = 0; round < times; round += 1) {
      await cluster.healthy();
      await loop.advance(REQUESTS_BETWEEN);
      const leader = await cluster.leader();
      ends.push(await cluster.end(leader, "SIGTERM"));
      await loop.advance(REQUESTS_BETWEEN);
      cluster.run(leader);
    }
    await cluster.healthy();
  } finally {
    await loop.stop();
  }
  const { requests, failures, slowestMs } = loop;
  return { ends, requests, failures, slowestMs };
}

async function underLoad(
  cluster: ProcessCluster,
  clients: number,
  prefix: string,
  faults: (load: WriteLoad) => Promise<number[]>,
): Promise<FaultRound> {
  await cluster.healthy();
  const load = new WriteLoad(cluster.endpoints, clients, prefix);
  let gaps: number[];
  try {
    gaps = await faults(load);
  } finally {
    await load.stop();
  }
  await cluster.healthy();
  return { verdict: await load.verify(cluster.endpoints[0] ?? ""), gaps, errors: load.errors };
}
