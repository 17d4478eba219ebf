import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfiguration } from "../../node/config/load.ts";
import { type Logger } from "../../node/observability/log.ts";
import { NodeServer } from "../../node/server.ts";
import { freePort } from "./free-port.ts";

/** Three members in this process, as `concord node` runs them: with disks, ports and doors of their own. */
export class ServerCluster {
  readonly #directory: string;
  readonly #servers: readonly NodeServer[];
  /** Of the clients, in the order of the founding list. */
  readonly urls: readonly string[];

  private constructor(directory: string, servers: readonly NodeServer[], urls: readonly string[]) {
    this.#directory = directory;
    this.#servers = servers;
    this.urls = urls;
  }

  /** @param flags for every member, besides its name, places and list. */
  static async start(logger: Logger, flags: readonly string[] = []): Promise<ServerCluster> {
    const directory = mkdtempSync(join(tmpdir(), "concord-servers-"));
    const members = [];
    for (const name of ["a", "b", "c"]) {
      const [client, peer] = [await freePort(), await freePort()];
      members.push({ name, client: `http://127.0.0.1:${client}`, peer: `http://127.0.0.1:${peer}` });
    }
    const list = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
    const servers = members.map(({ name, client, peer }) => {
      const own = [
        `--name=${name}`,
        `--data-dir=${join(directory, name)}`,
        `--listen-client-urls=${client}`,
        `--listen-peer-urls=${peer}`,
        `--initial-cluster=${list}`,
      ];
      return new NodeServer(loadConfiguration([...own, ...flags], {}), logger);
    });
    const cluster = new ServerCluster(
      directory,
      servers,
      members.map(({ client }) => client),
    );
    await Promise.all(servers.map(async (server) => server.start()));
    await Promise.all(servers.map(async (server) => server.ready()));
    return cluster;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#servers.map(async (server) => server.stop()));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
