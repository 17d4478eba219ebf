import { setTimeout as sleep } from "node:timers/promises";
import { Operator, type OperatorOptions } from "../../../operator/operator.ts";
import { Connection } from "../../../operator/runtime/connection.ts";
import { type Logger, silentLogger } from "../../../operator/runtime/logger.ts";
import { freePort } from "../free-port.ts";
import { type JsonObject, type StoredObject } from "./json.ts";
import { FakeKubelet } from "./kubelet.ts";
import { FakeMembers } from "./members.ts";
import { FakeApiServer } from "./server.ts";

export interface FakeClusterOptions {
  readonly log?: Logger;
}

/** An operator that a test has started. */
export interface RunningOperator {
  readonly operator: Operator;
  /** Ends in order, as after SIGTERM. */
  stop(): Promise<void>;
  /** Resolves when it ended by itself or was stopped. */
  readonly ended: Promise<"stopped" | "lost">;
}

/** A Kubernetes cluster in this process: API server, kubelet, members, and as many operators as wanted. */
export class FakeCluster {
  readonly server: FakeApiServer;
  readonly members: FakeMembers;
  readonly kubelet: FakeKubelet;
  readonly #port: number;
  readonly #log: Logger;
  readonly #operators = new Set<RunningOperator>();

  private constructor(server: FakeApiServer, port: number, options: FakeClusterOptions) {
    this.server = server;
    this.#port = port;
    this.#log = options.log ?? silentLogger;
    this.members = new FakeMembers(port);
    // Loopback addresses differ per process, so that test files may run at the same time.
    const prefix = `127.${1 + (process.pid % 250)}.${1 + (Math.floor(process.pid / 250) % 250)}`;
    this.kubelet = new FakeKubelet(server.storage, this.members, prefix);
  }

  static async open(options: FakeClusterOptions = {}): Promise<FakeCluster> {
    const server = new FakeApiServer();
    await server.open();
    return new FakeCluster(server, await freePort(), options);
  }

  startOperator(options: Partial<OperatorOptions> = {}): RunningOperator {
    const connection = Connection.insecure(this.server.url);
    const operator = new Operator(connection, this.#log, {
      settings: { defaultImage: "concord:test", clusterDomain: "cluster.local" },
      namespaces: undefined,
      leaderElection: undefined,
      healthAddress: undefined,
      instance: "operator-test",
      client: { queriesPerSecond: 2000, burst: 2000 },
      doors: { port: this.#port, freshMs: 20, probeMs: 1000 },
      retryMsMax: 200,
      reflector: { backoffMs: 20, backoffMsMax: 100 },
      ...options,
    });
    const stop = new AbortController();
    const ended = operator.run(stop.signal).finally(() => connection.close());
    const running: RunningOperator = {
      operator,
      ended,
      stop: async () => {
        stop.abort();
        await ended;
        this.#operators.delete(running);
      },
    };
    this.#operators.add(running);
    return running;
  }

  createCluster(name: string, spec: JsonObject = {}, namespace = "default"): StoredObject {
    return this.server.storage.create(
      { resource: "concord.io/concordclusters", namespace, name },
      { apiVersion: "concord.io/v1alpha1", kind: "ConcordCluster", metadata: { name, namespace }, spec },
      "test",
    );
  }

  patchCluster(name: string, patch: JsonObject, namespace = "default"): StoredObject {
    return this.server.storage.patch({ resource: "concord.io/concordclusters", namespace, name }, patch);
  }

  get(resource: string, name: string, namespace = "default"): StoredObject | undefined {
    return this.server.storage.get({ resource, namespace, name });
  }

  /** Status of the condition, or undefined. */
  condition(name: string, type: string, namespace = "default"): string | undefined {
    const status = this.get("concord.io/concordclusters", name, namespace)?.["status"] as
      { conditions?: { type: string; status: string }[] } | undefined;
    return status?.conditions?.find((condition) => condition.type === type)?.status;
  }

  /** Ready for the generation that is there now. */
  isReady(name: string, namespace = "default"): boolean {
    const object = this.get("concord.io/concordclusters", name, namespace);
    const status = object?.["status"] as { observedGeneration?: number } | undefined;
    return (
      status?.observedGeneration === object?.metadata["generation"] &&
      this.condition(name, "Ready", namespace) === "True"
    );
  }

  /** Waits until the condition holds, looking again after every change and at least every 25 ms. */
  async until(what: string, holds: () => boolean, timeoutMs = 20_000): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!holds()) {
      if (performance.now() > deadlineMs) throw new Error(`Waited ${timeoutMs} ms in vain for: ${what}`);
      await sleep(25);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#operators].map((operator) => operator.stop()));
    await this.kubelet.close();
    await this.members.close();
    await this.server.close();
  }
}
