import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type ProcessCluster } from "./cluster.ts";
import { EtcdClient } from "./etcd-client.ts";
import { GrpcKeeper, type LeaseKeeper, RestKeeper } from "./lease-keepers.ts";
import { earlyMs, LeaseLedger, type LedgerLease } from "./lease-ledger.ts";
import { WriteLoad } from "./load.ts";
import { GrpcDoor } from "./watch-doors.ts";

const PREFIX = "leased/";
const KEPT_TTL_SECONDS = 10;
const KEEP_PERIOD_MS = 3_000;
/** Leases of one keeper: one stream, or one set of connections. */
const LEASES_PER_KEEPER = 50;
/** Granted before each kill and left alone, for 2 to 4 s: some end before the next leader is there, and some under it. */
const LEFT_PER_ROUND = 30;
const LEFT_TTL_SECONDS = [2, 3, 4] as const;
const WRITERS = 2;
const REQUEST_TIMEOUT_MS = 5_000;
const RECOVERY_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 30_000;
const WRITES_BETWEEN = 50;
const PAUSE_CUT_MS = 20;

export interface LeftLease {
  /** From the end that its client was promised to the first word of the deletion of its key, ms. */
  readonly lateMs: number;
  /** Of that, what is more than the time in which no leader took writes while the lease lived. */
  readonly beyondLeaderlessMs: number;
}

export interface LeaseRound {
  readonly kept: readonly { readonly door: string; readonly leases: number; readonly renewals: number }[];
  /** Kept ones that ended all the same. */
  readonly keptEnded: readonly string[];
  /** Any that ended before the time that their clients were told. */
  readonly early: readonly string[];
  readonly left: readonly LeftLease[];
  /** Left alone, and still there long after their time. */
  readonly endless: readonly string[];
  /** Per kill: the longest time without an acknowledged write, ms. */
  readonly gaps: readonly number[];
}

interface Leaderless {
  readonly fromMs: number;
  readonly forMs: number;
}

/** Keeps `leases` alive over etcd's door and REST while the leader is killed `kills` times, and leaves others alone. */
export async function leasesThroughKills(cluster: ProcessCluster, leases: number, kills: number): Promise<LeaseRound> {
  await cluster.healthy();
  const { endpoints } = cluster;
  const ledger = new LeaseLedger();
  const watching = new AbortController();
  // At every member: whoever tells of an end first counts, wherever the leader was killed.
  const watches = endpoints.map(async (_, attempt) => watchEnds(endpoints, attempt, ledger, watching.signal));
  const kept = await grantAll(
    cluster,
    ledger,
    Array.from({ length: leases }, () => KEPT_TTL_SECONDS),
  );
  const keepers = keepersOf(kept, endpoints, ledger);
  const load = new WriteLoad(endpoints, WRITERS, "written/");
  const leaderless: Leaderless[] = [];
  const left: LedgerLease[] = [];
  try {
    for (let round = 0; round < kills; round += 1) {
      await cluster.healthy();
      const ttls = Array.from(
        { length: LEFT_PER_ROUND },
        (_, at) => LEFT_TTL_SECONDS[at % LEFT_TTL_SECONDS.length] ?? 2,
      );
      left.push(...(await grantAll(cluster, ledger, ttls)));
      // Somewhere in the life of those.
      await delay(randomInt(2_000));
      const leader = await cluster.leader();
      const fromMs = performance.now();
      await cluster.end(leader, "SIGKILL");
      await load.advance(WRITES_BETWEEN, RECOVERY_TIMEOUT_MS);
      leaderless.push({ fromMs, forMs: load.widestGap(fromMs, performance.now()) });
      cluster.run(leader);
      await ended(left, END_TIMEOUT_MS);
    }
  } finally {
    await Promise.all([load.stop(), ...keepers.map(async (keeper) => keeper.stop())]);
    watching.abort();
    await Promise.all(cluster.members.map(async (member) => cluster.end(member, "SIGKILL")));
    await Promise.all(watches);
  }
  return roundOf(kept, left, keepers, leaderless);
}

function roundOf(
  kept: readonly LedgerLease[],
  left: readonly LedgerLease[],
  keepers: readonly LeaseKeeper[],
  leaderless: readonly Leaderless[],
): LeaseRound {
  const early = [...kept, ...left].filter((lease) => earlyMs(lease) > 0);
  return {
    kept: [...new Set(keepers.map(({ door }) => door))].map((door) => {
      const own = keepers.filter((keeper) => keeper.door === door);
      const renewals = own.reduce((sum, keeper) => sum + keeper.renewals, 0);
      return { door, leases: own.length * LEASES_PER_KEEPER, renewals };
    }),
    keptEnded: kept.filter(({ endedMs }) => endedMs !== undefined).map(({ key }) => key),
    early: early.map((lease) => `${lease.key} by ${earlyMs(lease).toFixed(1)} ms`),
    left: left.flatMap((lease) => (lease.endedMs === undefined ? [] : [latenessOf(lease, lease.endedMs, leaderless)])),
    endless: left.filter(({ endedMs }) => endedMs === undefined).map(({ key }) => key),
    gaps: leaderless.map(({ forMs }) => forMs),
  };
}

function latenessOf(lease: LedgerLease, endedMs: number, leaderless: readonly Leaderless[]): LeftLease {
  const lateMs = endedMs - lease.promisedUntilMs;
  const within = leaderless.filter(({ fromMs }) => fromMs >= lease.grantSentMs && fromMs <= endedMs);
  return { lateMs, beyondLeaderlessMs: lateMs - within.reduce((sum, { forMs }) => sum + forMs, 0) };
}

/** Grants leases at a healthy cluster, each with a key on it. */
async function grantAll(cluster: ProcessCluster, ledger: LeaseLedger, ttls: readonly number[]): Promise<LedgerLease[]> {
  const client = new EtcdClient((await cluster.leader()).clientUrl);
  try {
    return await Promise.all(
      ttls.map(async (ttlSeconds) => {
        const id = BigInt(randomInt(1, 2 ** 47));
        const key = PREFIX + id.toString(16);
        const grantSentMs = performance.now();
        const granted = await client.grantLease(id, ttlSeconds, REQUEST_TIMEOUT_MS);
        const lease = ledger.add({ id, key, ttlSeconds: granted, grantSentMs });
        await client.txn([{ put: key, value: "", lease: id }], REQUEST_TIMEOUT_MS);
        return lease;
      }),
    );
  } finally {
    client.close();
  }
}

function keepersOf(kept: readonly LedgerLease[], endpoints: readonly string[], ledger: LeaseLedger): LeaseKeeper[] {
  const keepers: LeaseKeeper[] = [];
  for (let from = 0; from < kept.length; from += LEASES_PER_KEEPER) {
    const leases = kept.slice(from, from + LEASES_PER_KEEPER);
    const options = { endpoints, leases, ledger, periodMs: KEEP_PERIOD_MS, attempt: keepers.length };
    keepers.push(keepers.length % 2 === 0 ? new GrpcKeeper(options) : new RestKeeper(options));
  }
  return keepers;
}

/** Writes down every deletion that one member tells of, for as long as the members live. */
async function watchEnds(
  endpoints: readonly string[],
  attempt: number,
  ledger: LeaseLedger,
  signal: AbortSignal,
): Promise<void> {
  const door = new GrpcDoor(endpoints, PREFIX);
  for (let from = 1; !signal.aborted;) {
    try {
      for await (const message of door.open(from, attempt)) {
        const atMs = performance.now();
        if (message.type !== "changes") continue;
        for (const { key, value } of message.events) if (value === undefined) ledger.ended(key, atMs);
        from = (message.events.at(-1)?.revision ?? 0) + 1;
      }
    } catch {
      await delay(PAUSE_CUT_MS);
    }
  }
}

async function ended(leases: readonly LedgerLease[], timeoutMs: number): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; performance.now() < deadline;) {
    if (leases.every(({ endedMs }) => endedMs !== undefined)) return;
    await delay(PAUSE_CUT_MS);
  }
}
