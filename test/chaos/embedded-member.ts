import { type ChildProcess, fork } from "node:child_process";
import { EventEmitter, on, once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePort } from "../support/free-port.ts";
import { type ProcessCluster } from "./cluster.ts";
import { EtcdClient } from "./etcd-client.ts";
import { type WatchDoor, type WatchMessage } from "./watch-doors.ts";

const REQUEST_TIMEOUT_MS = 5_000;
const JOIN_TIMEOUT_MS = 30_000;
const PAUSE_MS = 50;

/** What the program is told. */
export type EmbeddedOrder =
  | { readonly type: "watch"; readonly watch: number; readonly from: number }
  /** The last message was taken. */
  | { readonly type: "next"; readonly watch: number }
  | { readonly type: "cancel"; readonly watch: number };

/** What it says. Without a message: the watch ended. */
export interface EmbeddedReport {
  readonly watch: number;
  readonly message?: WatchMessage;
  readonly failure?: string;
}

/**
 * A program that embeds a member of the cluster, a learner, and watches in process. It is a process of its own, so that
 * it can be killed as the others are; what it sees comes here message by message, as fast as they are taken.
 */
export class EmbeddedMember implements WatchDoor {
  readonly name = "in process";
  readonly #arguments: readonly string[];
  readonly #reports = new EventEmitter();
  #child: ChildProcess | undefined;
  #watches = 0;

  private constructor(programArguments: readonly string[]) {
    this.#arguments = programArguments;
    this.#reports.setMaxListeners(0);
  }

  /** Adds a learner to a healthy cluster, and starts it. */
  static async join(cluster: ProcessCluster): Promise<EmbeddedMember> {
    const directory = join(cluster.directory, "embedded");
    mkdirSync(directory);
    const peerUrl = `http://127.0.0.1:${await freePort()}`;
    const members = cluster.members.map(({ name, peerUrl: url }) => ({ name, peerUrls: [url] }));
    const all = [...members, { name: "embedded", peerUrls: [peerUrl] }];
    const member = new EmbeddedMember([directory, JSON.stringify(all)]);
    member.run();
    await added(cluster.endpoints[0] ?? "", peerUrl);
    return member;
  }

  run(): void {
    const program = fileURLToPath(new URL("./embedded-program.ts", import.meta.url));
    const child = fork(program, this.#arguments, { execArgv: [] });
    child.on("message", (report: EmbeddedReport) => this.#reports.emit(String(report.watch), report));
    // An order to a process that was killed is lost, as it should be.
    child.on("error", () => undefined);
    child.once("exit", () => this.#reports.emit("end"));
    this.#child = child;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }

  async *open(from: number): AsyncIterable<WatchMessage> {
    if (this.#child?.connected !== true) throw new Error("The program that embeds the member does not run");
    const watch = this.#watches++;
    const ended = new AbortController();
    const end = (): void => ended.abort(new Error("The program that embeds the member ended"));
    this.#reports.once("end", end);
    try {
      const reports = on(this.#reports, String(watch), { signal: ended.signal });
      this.#send({ type: "watch", watch, from });
      for await (const [report] of reports as AsyncIterable<[EmbeddedReport]>) {
        if (report.message === undefined) throw new Error(`The watch in process ended: ${report.failure ?? ""}`);
        yield report.message;
        this.#send({ type: "next", watch });
      }
    } finally {
      this.#reports.off("end", end);
      this.#send({ type: "cancel", watch });
    }
  }

  #send(order: EmbeddedOrder): void {
    if (this.#child?.connected === true) this.#child.send(order, () => undefined);
  }
}

/** A cluster adds who answers it, which the program does once it has opened its member. */
async function added(endpoint: string, peerUrl: string): Promise<void> {
  const client = new EtcdClient(endpoint);
  try {
    for (const deadline = performance.now() + JOIN_TIMEOUT_MS; ;) {
      try {
        await client.addLearner(peerUrl, REQUEST_TIMEOUT_MS);
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(PAUSE_MS);
      }
    }
  } finally {
    client.close();
  }
}
