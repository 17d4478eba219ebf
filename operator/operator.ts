import { ClusterReconciler } from "./cluster-reconciler.ts";
import { type Failpoint } from "./execute/context.ts";
import { Caches, type CachesOptions } from "./observe/caches.ts";
import { LastAppliedMemory } from "./observe/last-applied.ts";
import { MemberDoors, type MemberDoorsOptions } from "./observe/member-doors.ts";
import { NamedCache } from "./observe/named-cache.ts";
import { Observer } from "./observe/observer.ts";
import { type SecretObject } from "./observe/shapes.ts";
import { type OperatorSettings } from "./plan/observed.ts";
import { type Connection } from "./runtime/connection.ts";
import { Controller } from "./runtime/controller.ts";
import { EventRecorder } from "./runtime/events.ts";
import { Expectations } from "./runtime/expectations.ts";
import { HealthServer } from "./runtime/health.ts";
import { RESOURCES } from "./runtime/kubernetes-object.ts";
import { LeaderElector, type LeaderElectionOptions } from "./runtime/leader-election.ts";
import { type Logger } from "./runtime/logger.ts";
import { Manager } from "./runtime/manager.ts";
import { OperatorMetrics } from "./runtime/metrics.ts";
import { RestClient, type RestClientOptions } from "./runtime/rest-client.ts";

export interface OperatorOptions {
  readonly settings: OperatorSettings;
  /** Namespaces to watch; undefined for all. */
  readonly namespaces: readonly string[] | undefined;
  /** Undefined: no election, this process leads. */
  readonly leaderElection: LeaderElectionOptions | undefined;
  /** Where `/healthz`, `/readyz` and `/metrics` are served; undefined: nowhere. */
  readonly healthAddress: string | undefined;
  /** Unique name of this process, for events. */
  readonly instance: string;
  /** Clusters worked on at the same time. @default 4 */
  readonly concurrency?: number;
  readonly client?: Pick<RestClientOptions, "queriesPerSecond" | "burst" | "timeoutMs">;
  readonly processMetrics?: boolean;
  /** Longest wait between two tries of a failing cluster, in milliseconds. @default 300000 */
  readonly retryMsMax?: number;
  readonly doors?: MemberDoorsOptions;
  readonly reflector?: CachesOptions["reflector"];
  readonly failpoint?: Failpoint;
  /** Secrets are read by name, and again after so many milliseconds. @default 300000 */
  readonly secretAgeMsMax?: number;
}

/** Requests of the election have a budget of their own, so that a busy operator never loses its lease to itself. */
const ELECTION_QUERIES_PER_SECOND = 5;
const ELECTION_BURST = 10;
const SECRET_AGE_MS_MAX = 300_000;
const CONTROLLER_NAME = "concordcluster";
const REPORTING_CONTROLLER = "concord.io/operator";

/** The operator, put together. */
export class Operator {
  readonly metrics: OperatorMetrics;
  readonly health: HealthServer | undefined;
  readonly #manager: Manager;
  readonly #events: EventRecorder;
  readonly #doors: MemberDoors;

  constructor(connection: Connection, log: Logger, options: OperatorOptions) {
    this.metrics = new OperatorMetrics({ process: options.processMetrics ?? false });
    const onRequest = (method: string, code: string): void => this.metrics.requests.inc({ method, code });
    const elector = openElector(connection, log, options, onRequest);
    const client = new RestClient(connection, {
      ...options.client,
      onRequest,
      ...(elector === undefined ? {} : { fence: elector.assertLeader }),
    });
    const caches = new Caches(client, log, {
      namespaces: options.namespaces,
      ...(options.reflector === undefined ? {} : { reflector: options.reflector }),
    });
    const secrets = new NamedCache<SecretObject>(client, RESOURCES.secrets, {
      ageMsMax: options.secretAgeMsMax ?? SECRET_AGE_MS_MAX,
    });
    this.#doors = new MemberDoors(secrets, log, options.doors);
    this.#events = new EventRecorder(client, log, { controller: REPORTING_CONTROLLER, instance: options.instance });
    const memory = { expectations: new Expectations(), lastApplied: new LastAppliedMemory() };
    const shared = { client, caches, secrets, doors: this.#doors, ...memory };
    const reconciler = new ClusterReconciler({
      ...shared,
      observer: new Observer({ ...shared, settings: options.settings }),
      events: this.#events,
      metrics: this.metrics,
      log,
      failpoint: options.failpoint ?? (() => undefined),
    });
    const controller = new Controller((key, signal) => reconciler.reconcile(key, signal), this.metrics, log, {
      name: CONTROLLER_NAME,
      ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
      ...(options.retryMsMax === undefined ? {} : { retryMsMax: options.retryMsMax }),
    });
    caches.onClusterChange((key) => controller.queue.add(key));
    this.health = openHealth(options.healthAddress, caches, this.metrics);
    const leader = { name: options.leaderElection?.name ?? REPORTING_CONTROLLER };
    this.metrics.leader.set(leader, 0);
    this.#manager = new Manager({
      source: caches,
      controllers: [controller],
      elector,
      health: this.health,
      log,
      onLeading: () => this.metrics.leader.set(leader, 1),
    });
  }

  /** Runs until the signal fires or leadership is lost. */
  async run(signal: AbortSignal): Promise<"stopped" | "lost"> {
    try {
      return await this.#manager.run(signal);
    } finally {
      await this.#events.flush();
      await this.#doors.close();
    }
  }
}

function openElector(
  connection: Connection,
  log: Logger,
  options: OperatorOptions,
  onRequest: (method: string, code: string) => void,
): LeaderElector | undefined {
  if (options.leaderElection === undefined) return undefined;
  const client = new RestClient(connection, {
    queriesPerSecond: ELECTION_QUERIES_PER_SECOND,
    burst: ELECTION_BURST,
    onRequest,
  });
  return new LeaderElector(client, log, options.leaderElection);
}

function openHealth(address: string | undefined, caches: Caches, metrics: OperatorMetrics): HealthServer | undefined {
  if (address === undefined) return undefined;
  return new HealthServer({
    address,
    unhealthy: () => "",
    unready: () => (caches.hasSynced ? "" : "caches are not filled yet"),
    metrics: async () => ({
      contentType: metrics.registry.contentType,
      text: await metrics.registry.metrics(),
    }),
  });
}
