import { execFile } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { EtcdClient, fateOf } from "./etcd-client.ts";

const REQUEST_TIMEOUT_MS = 5_000;

/** One request; throws when the user of the client would see a failure. */
export type Request = () => Promise<void>;

/** Makes one request after the other and remembers every failure. */
export class RequestLoop {
  readonly failures: string[] = [];
  requests = 0;
  slowestMs = 0;
  readonly #running: Promise<void>;
  #stopping = false;

  constructor(request: Request) {
    this.#running = this.#run(request);
  }

  /** Waits until `count` more requests have ended. */
  async advance(count: number): Promise<void> {
    for (const target = this.requests + count; this.requests < target;) await delay(5);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #run(request: Request): Promise<void> {
    while (!this.#stopping) {
      const at = performance.now();
      try {
        await request();
      } catch (error) {
        this.failures.push(error instanceof Error ? error.message : String(error));
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - at);
      this.requests += 1;
    }
  }
}

/** `etcdctl put` as a script calls it: a new process, and so new connections, for every request. */
export function etcdctlPut(etcdctl: string, endpoints: readonly string[]): Request {
  const execute = promisify(execFile);
  return async () => {
    await execute(etcdctl, ["--endpoints", endpoints.join(","), "put", "k", "v"], {
      env: { PATH: process.env["PATH"] },
    });
  };
}

/**
 * A gRPC client with connections that stay open: goes to the next endpoint only after an answer that says that nothing
 * was written, as etcd's balancer does.
 */
export function grpcPut(endpoints: readonly string[]): Request {
  const clients = endpoints.map((url) => new EtcdClient(url));
  let at = 0;
  return async () => {
    for (let tries = 1; ; tries += 1) {
      try {
        await clients[at % clients.length]?.put("k", "v", REQUEST_TIMEOUT_MS);
        return;
      } catch (error) {
        if (fateOf(error) === "unknown" || tries === clients.length) throw error;
      } finally {
        at += 1;
      }
    }
  };
}
