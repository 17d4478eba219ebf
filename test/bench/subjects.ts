import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type LocalMember } from "../../node/cli/local-cluster.ts";
import { freeMembers, ProcessCluster } from "../chaos/cluster.ts";
import { EtcdClient } from "../chaos/etcd-client.ts";

/** A running cluster to measure. Both kinds speak etcd's API and sync every write to the same disk. */
export interface Subject {
  readonly name: "concord" | "etcd";
  readonly members: readonly LocalMember[];
  readonly pids: readonly number[];
  /** Kills all members at once, and starts them again on what they have on disk. */
  crash(): Promise<void>;
  /** host:port of the member that leads now. */
  leader(): Promise<string>;
  stop(): Promise<void>;
}

export async function startConcord(size: number): Promise<Subject> {
  const cluster = await ProcessCluster.start(size);
  try {
    await cluster.healthy();
  } catch (error) {
    await cluster.stop(true);
    throw error;
  }
  return {
    name: "concord",
    members: cluster.members,
    get pids() {
      return cluster.members.map((member) => cluster.processOf(member).pid ?? 0);
    },
    crash: async () => {
      await Promise.all(cluster.members.map(async (member) => cluster.end(member, "SIGKILL")));
      for (const member of cluster.members) cluster.run(member);
    },
    leader: async () => new URL((await cluster.leader()).clientUrl).host,
    stop: async () => {
      // An orderly end, so that profiles of the members are written.
      await Promise.all(cluster.members.map(async (member) => cluster.end(member, "SIGTERM")));
      await cluster.stop();
    },
  };
}

const ETCD_TIMEOUT_MS = 30_000;
const LOOK_PERIOD_MS = 50;

/** @param binary - path of an etcd 3.7; everything but names and addresses stays at its defaults. */
export async function startEtcd(binary: string, size: number): Promise<Subject> {
  const directory = mkdtempSync(join(tmpdir(), "etcd-bench-"));
  const members = await freeMembers(directory, size);
  const spawnAll = (): ChildProcess[] => members.map((member) => spawnEtcd(binary, member, members));
  let children = spawnAll();
  const kill = async (): Promise<void> => {
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
        const exit = once(child, "exit");
        child.kill("SIGKILL");
        await exit;
      }),
    );
  };
  const stop = async (): Promise<void> => {
    await kill();
    rmSync(directory, { recursive: true, force: true });
  };
  const leader = async (): Promise<string> => etcdLeader(members);
  try {
    await leader();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: "etcd",
    members,
    get pids() {
      return children.map(({ pid }) => pid ?? 0);
    },
    crash: async () => {
      await kill();
      children = spawnAll();
    },
    leader,
    stop,
  };
}

function spawnEtcd(binary: string, member: LocalMember, all: readonly LocalMember[]): ChildProcess {
  const log = openSync(member.logFile, "a");
  const flags = [
    `--name=${member.name}`,
    `--data-dir=${member.dataDir}`,
    `--listen-client-urls=${member.clientUrl}`,
    `--advertise-client-urls=${member.clientUrl}`,
    `--listen-peer-urls=${member.peerUrl}`,
    `--initial-advertise-peer-urls=${member.peerUrl}`,
    `--initial-cluster=${all.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",")}`,
    "--log-level=error",
  ];
  const child = spawn(binary, flags, { stdio: ["ignore", log, log] });
  child.on("error", () => undefined);
  closeSync(log);
  return child;
}

async function etcdLeader(members: readonly LocalMember[]): Promise<string> {
  const clients = members.map(({ clientUrl }) => ({
    host: new URL(clientUrl).host,
    client: new EtcdClient(clientUrl),
  }));
  try {
    for (const deadline = performance.now() + ETCD_TIMEOUT_MS; performance.now() < deadline;) {
      for (const { host, client } of clients) {
        const status = await client.status(1_000).catch(() => undefined);
        if (status !== undefined && status.leader === status.memberId) return host;
      }
      await delay(LOOK_PERIOD_MS);
    }
    throw new Error(`etcd has no leader within ${ETCD_TIMEOUT_MS} ms`);
  } finally {
    for (const { client } of clients) client.close();
  }
}
