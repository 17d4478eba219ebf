import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { localMembers, type LocalMember, requireFreePorts, startMember } from "../../node/cli/local-cluster.ts";
import { EtcdClient, type EndpointStatus } from "./etcd-client.ts";

const PORT_MIN = 3_000;
const PORT_RANGE = 6_000;
const PORT_TRIES = 20;
const LOOK_PERIOD_MS = 20;
const LOOK_TIMEOUT_MS = 1_000;
/** For a whole cluster to answer. */
const HEALTHY_TIMEOUT_MS = 30_000;

/** How a process ended. */
export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the signal to the end. */
  readonly afterMs: number;
}

/** A cluster of `concord node` processes on this machine, each with a data directory and ports of its own. */
export class ProcessCluster {
  readonly directory: string;
  readonly members: readonly LocalMember[];
  readonly #processes = new Map<string, ChildProcess>();
  readonly #clients = new Map<string, EtcdClient>();

  private constructor(directory: string, members: readonly LocalMember[]) {
    this.directory = directory;
    this.members = members;
    for (const { name, clientUrl } of members) this.#clients.set(name, new EtcdClient(clientUrl));
  }

  /**
   * Finds free ports and starts every member. They may not have formed a cluster yet: see `healthy`.
   *
   * @param prepare - their data directories before
   */
  static async start(
    size = 3,
    prepare: (members: readonly LocalMember[]) => Promise<void> = () => Promise.resolve(),
  ): Promise<ProcessCluster> {
    const directory = mkdtempSync(join(tmpdir(), "concord-chaos-"));
    const cluster = new ProcessCluster(directory, await freeMembers(directory, size));
    await prepare(cluster.members);
    for (const member of cluster.members) cluster.run(member);
    return cluster;
  }

  get endpoints(): string[] {
    return this.members.map(({ clientUrl }) => clientUrl);
  }

  run(member: LocalMember): ChildProcess {
    const child = startMember(member, this.members);
    this.#processes.set(member.name, child);
    return child;
  }

  processOf(member: LocalMember): ChildProcess {
    const child = this.#processes.get(member.name);
    if (child === undefined) throw new Error(`${member.name} was not started`);
    return child;
  }

  /** Sends a signal and waits for the end. */
  async end(member: LocalMember, signal: "SIGKILL" | "SIGTERM"): Promise<Ended> {
    const child = this.processOf(member);
    const at = performance.now();
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, "exit");
      child.kill(signal);
      await exit;
    }
    return { status: child.exitCode, signal: child.signalCode, afterMs: performance.now() - at };
  }

  async status(member: LocalMember): Promise<EndpointStatus | undefined> {
    return this.#clients
      .get(member.name)
      ?.status(LOOK_TIMEOUT_MS)
      .catch(() => undefined);
  }

  /** The member that says of itself that it leads. */
  async leader(): Promise<LocalMember> {
    for (const deadline = performance.now() + HEALTHY_TIMEOUT_MS; performance.now() < deadline;) {
      for (const member of this.members) {
        const status = await this.status(member);
        if (status !== undefined && status.leader === status.memberId) return member;
      }
      await delay(LOOK_PERIOD_MS);
    }
    throw new Error(`No leader within ${HEALTHY_TIMEOUT_MS} ms; logs in ${this.directory}`);
  }

  /** Waits until every member votes, follows the same leader, has caught up, and takes writes. */
  async healthy(): Promise<void> {
    for (const deadline = performance.now() + HEALTHY_TIMEOUT_MS; performance.now() < deadline;) {
      const all = await Promise.all(this.members.map(async (member) => this.status(member)));
      const leader = all[0]?.leader ?? "0";
      const furthest = Math.max(...all.map((status) => status?.appliedIndex ?? 0));
      const agree = (status: EndpointStatus | undefined): boolean =>
        status !== undefined && status.leader === leader && !status.learner && status.appliedIndex > furthest - 5_000;
      if (leader !== "0" && all.every(agree) && (await this.#writable())) return;
      await delay(LOOK_PERIOD_MS);
    }
    throw new Error(`The cluster did not become healthy within ${HEALTHY_TIMEOUT_MS} ms; logs in ${this.directory}`);
  }

  async #writable(): Promise<boolean> {
    const writes = [...this.#clients.values()].map(async (client) => client.put("healthy", "", LOOK_TIMEOUT_MS));
    return (await Promise.allSettled(writes)).every(({ status }) => status === "fulfilled");
  }

  /** Ends every process and, when nothing is to be looked at any more, removes the data. */
  async stop(keep = false): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    await Promise.all(
      this.members.filter(({ name }) => this.#processes.has(name)).map(async (member) => this.end(member, "SIGKILL")),
    );
    if (!keep) rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Ports below what systems hand out by themselves; another process may hold some, so several places are tried. */
export async function freeMembers(directory: string, size: number): Promise<LocalMember[]> {
  for (let tries = 1; ; tries += 1) {
    const port = PORT_MIN + 2 * Math.floor((Math.random() * PORT_RANGE) / 2);
    const members = localMembers({ directory, members: size, port });
    try {
      await requireFreePorts(members);
      return members;
    } catch (error) {
      if (tries >= PORT_TRIES) throw error;
    }
  }
}
