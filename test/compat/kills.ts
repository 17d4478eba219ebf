import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { ProcessCluster } from "../chaos/cluster.ts";
// Takes CONCORD_ETCD_BIN out of the environment, which members would refuse.
import "./binaries.ts";

/**
 * Kills leaders when a client's test asks for it. Every member that was killed is started again at once, and the next
 * kill waits until the cluster is whole.
 */
export class LeaderKills {
  readonly #cluster: ProcessCluster;
  #whole: Promise<void>;

  constructor(cluster: ProcessCluster) {
    this.#cluster = cluster;
    this.#whole = cluster.healthy();
  }

  async healthy(): Promise<void> {
    await this.#whole;
  }

  async kill(): Promise<void> {
    await this.#whole;
    const leader = await this.#cluster.leader();
    await this.#cluster.end(leader, "SIGKILL");
    this.#cluster.run(leader);
    this.#whole = this.#cluster.healthy();
    // Whoever asks next hears of a failure.
    this.#whole.catch(() => undefined);
  }
}

/**
 * Runs a client's program against three members. It asks for what it needs with a line on its standard output, "HEALTHY"
 * for a cluster that is whole and "KILL" for the death of the leader, and is answered with a line on its standard input.
 *
 * @returns its other lines, and how it ended
 */
export async function runWithKills(
  program: string,
  args: (endpoints: readonly string[]) => readonly string[],
): Promise<{ readonly output: readonly string[]; readonly status: number | null }> {
  const cluster = await ProcessCluster.start();
  const kills = new LeaderKills(cluster);
  const child = spawn(program, args(cluster.endpoints), { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  const output: string[] = [];
  try {
    for await (const line of createInterface(child.stdout)) {
      if (line === "HEALTHY") await kills.healthy();
      else if (line === "KILL") await kills.kill();
      else output.push(line);
      if (line === "HEALTHY" || line === "KILL") child.stdin.write("\n");
    }
    await closed;
  } finally {
    child.kill("SIGKILL");
    await cluster.stop();
  }
  return { output, status: child.exitCode };
}
