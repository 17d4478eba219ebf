import { setTimeout as delay } from "node:timers/promises";
import { type ProcessCluster } from "./cluster.ts";
import { EmbeddedMember } from "./embedded-member.ts";
import { EtcdClient } from "./etcd-client.ts";
import { SessionDoor } from "./session-door.ts";
import { GatewayDoor, GrpcDoor, RestDoor, type WatchDoor } from "./watch-doors.ts";
import { WatchHistory } from "./watch-history.ts";
import { WatchWriters } from "./watch-writers.ts";
import { Watcher, type WatchVerdict } from "./watcher.ts";

const WRITERS = 8;
/** A cluster that does not write that many changes within this after a fault is broken. */
const ROUND_TIMEOUT_MS = 180_000;
const CAUGHT_UP_TIMEOUT_MS = 120_000;
const COMPACT_TIMEOUT_MS = 5_000;
/** How long a killed member stays away. */
const AWAY_MS = 300;
/** Every so many rounds the member of the embedding program is killed, and every so many history goes up to the newest. */
const EMBEDDED_EVERY = 3;
const COMPACT_ALL_EVERY = 2;
/** What the other compactions leave, revisions: less than slow readers are behind at times. */
const KEPT_REVISIONS = 1_500;

export interface WatchRound {
  /** Changes that were made, and the revisions that made them. */
  readonly events: number;
  readonly revisions: number;
  readonly readers: readonly { readonly door: string; readonly slow: boolean; readonly verdict: WatchVerdict }[];
}

/**
 * Watchers of every door, a quick one and a slow one each, while writers make `events` changes and members are killed
 * `kills` times, the leader at every other one, and history is compacted, also under watches that are cut off.
 */
export async function watchThroughFaults(cluster: ProcessCluster, events: number, kills: number): Promise<WatchRound> {
  await cluster.healthy();
  const embedded = await EmbeddedMember.join(cluster);
  const { endpoints } = cluster;
  const doors: WatchDoor[] = [
    new GrpcDoor(endpoints),
    new GatewayDoor(endpoints),
    new RestDoor(endpoints),
    new SessionDoor(endpoints),
    embedded,
  ];
  const history = new WatchHistory(WRITERS);
  const newest = (): number => history.newest;
  const readers = doors.flatMap((door, attempt) =>
    [false, true].map((slow) => {
      const options = slow ? { attempt, newest } : { attempt };
      return { door: door.name, slow, watcher: new Watcher(door, endpoints, options) };
    }),
  );
  const quick = readers.filter(({ slow }) => !slow).map(({ watcher }) => watcher);
  const position = (): number => Math.min(...quick.map((watcher) => watcher.position));
  const writers = new WatchWriters(endpoints, history, WRITERS, position);
  try {
    for (let round = 0; round < kills; round += 1) {
      writers.allow(Math.ceil((events * (round + 1)) / kills));
      await writers.reached(Math.ceil((events * (round + 0.5)) / kills), ROUND_TIMEOUT_MS);
      await fault(cluster, embedded, round);
      await compact(endpoints, round % COMPACT_ALL_EVERY === 0 ? history.newest : history.newest - KEPT_REVISIONS);
      await cluster.healthy();
      await writers.reached(Math.ceil((events * (round + 1)) / kills), ROUND_TIMEOUT_MS);
    }
    writers.allow(events);
    await writers.reached(events, ROUND_TIMEOUT_MS);
    await writers.stop();
    await caughtUp(readers, history.newest);
    return {
      events: history.events,
      revisions: history.revisions().length,
      readers: readers.map(({ door, slow, watcher }) => ({ door, slow, verdict: watcher.verdict(history) })),
    };
  } finally {
    await writers.stop();
    for (const { watcher } of readers) watcher.stop();
    await embedded.kill();
    await Promise.all(cluster.members.map(async (member) => cluster.end(member, "SIGKILL")));
    await Promise.all(readers.map(async ({ watcher }) => watcher.ended()));
  }
}

async function fault(cluster: ProcessCluster, embedded: EmbeddedMember, round: number): Promise<void> {
  const leader = await cluster.leader();
  const others = cluster.members.filter((member) => member !== leader);
  const victim = round % 2 === 0 ? leader : (others[round % others.length] ?? leader);
  const withEmbedded = round % EMBEDDED_EVERY === 1;
  await Promise.all([cluster.end(victim, "SIGKILL"), ...(withEmbedded ? [embedded.kill()] : [])]);
  await delay(AWAY_MS);
  cluster.run(victim);
  if (withEmbedded) embedded.run();
}

/** At whichever member answers. Compacting again what is compacted is no failure here. */
async function compact(endpoints: readonly string[], revision: number): Promise<void> {
  if (revision <= 1) return;
  for (const endpoint of endpoints) {
    const client = new EtcdClient(endpoint);
    try {
      await client.compact(revision, COMPACT_TIMEOUT_MS);
      return;
    } catch {
      // The next one.
    } finally {
      client.close();
    }
  }
}

async function caughtUp(readers: readonly { readonly watcher: Watcher }[], revision: number): Promise<void> {
  for (const { watcher } of readers) watcher.hurry();
  for (const deadline = performance.now() + CAUGHT_UP_TIMEOUT_MS; performance.now() < deadline;) {
    if (readers.every(({ watcher }) => watcher.position >= revision)) return;
    await delay(20);
  }
  // Whoever did not come that far has gaps.
}
