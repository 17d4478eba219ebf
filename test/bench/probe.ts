import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { GrpcConnection } from "./grpc-connection.ts";

/** Between two reads. */
const PERIOD_MS = 2;
const RESOLUTION_MS = 10;
/** Range, serializable, of a key that is not there: what a member answers from its memory alone. */
const REQUEST = Buffer.concat([Buffer.of(0x0a, 5), Buffer.from("probe"), Buffer.of(0x38, 1)]);

export interface Waits {
  /** The longest wait for an answer, ms; one that is not over counts as well. */
  readonly longestReadMs: number;
  /** The longest that this client itself, which does next to nothing, was kept from running, ms: what the machine adds. */
  readonly idleStallMs: number;
}

/** A client that reads one key, over and over, and notes how long it waits. In a process of its own: it must not wait for others. */
export class Probe {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** @param host - host:port of a member */
  static async start(host: string): Promise<Probe> {
    const child = fork(fileURLToPath(import.meta.url), [host], { execArgv: [] });
    const probe = new Probe(child);
    await probe.take();
    return probe;
  }

  /** Since the last time that this was asked. */
  async take(): Promise<Waits> {
    this.#child.send("take");
    const [waits] = (await once(this.#child, "message")) as [Waits];
    return waits;
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.disconnect();
    await exit;
  }
}

if (import.meta.main) {
  const connection = await GrpcConnection.open(process.argv[2] ?? "", "/etcdserverpb.KV/Range");
  let sentMs = performance.now();
  let longestMs = 0;
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  process.on("message", () => {
    const waits: Waits = {
      longestReadMs: Math.max(longestMs, performance.now() - sentMs),
      idleStallMs: Math.max(0, delays.max / 1e6 - RESOLUTION_MS),
    };
    process.send?.(waits);
    longestMs = 0;
    delays.reset();
  });
  process.on("disconnect", () => process.exit());
  for (;;) {
    sentMs = performance.now();
    const { ok } = await new Promise<{ readonly ok: boolean }>((resolve) => {
      connection.call(REQUEST, resolve);
    });
    if (!ok) throw new Error("A read was not answered as it should be");
    longestMs = Math.max(longestMs, performance.now() - sentMs);
    await delay(PERIOD_MS);
  }
}
