import { type NodeApi } from "../runtime/node-api.ts";
import { ClusterService } from "./cluster.ts";
import { ElectionService } from "./election.ts";
import { KvService } from "./kv.ts";
import { IdempotencyKeys, type IdempotencyLimits } from "./idempotency.ts";
import { LeaseService } from "./lease.ts";
import { LockService } from "./lock.ts";
import { MaintenanceService } from "./maintenance.ts";
import { principalOf, type ConnectionFacts, type Principal } from "./principal.ts";
import { WatchService } from "./watch.ts";

export interface ServiceOptions {
  /** This member's configured name. */
  readonly name: string;
  /** Configured uid of the cluster, for the time before this member belongs to one. */
  readonly clusterUid: string;
  readonly idempotency: IdempotencyLimits;
}

/** Everything the doors may ask for, with authorisation inside. */
export class Services {
  readonly kv: KvService;
  readonly watch: WatchService;
  readonly lease: LeaseService;
  readonly lock: LockService;
  readonly election: ElectionService;
  readonly cluster: ClusterService;
  readonly maintenance: MaintenanceService;
  readonly #node: NodeApi;
  readonly #clusterUid: string;

  constructor(node: NodeApi, options: ServiceOptions) {
    const keys = new IdempotencyKeys(options.idempotency);
    this.kv = new KvService(node, keys);
    this.watch = new WatchService(node);
    this.lease = new LeaseService(node, keys);
    this.lock = new LockService(this);
    this.election = new ElectionService(this);
    this.cluster = new ClusterService(node, options.name);
    this.maintenance = new MaintenanceService(node);
    this.#node = node;
    this.#clusterUid = options.clusterUid;
  }

  principalOf(facts: ConnectionFacts): Principal {
    // Only an administrator's certificate is compared with the cluster; the state of the node is not asked for others.
    if (facts.certificate?.identity?.type !== "role") return principalOf(facts, "");
    const known = this.#node.info().clusterUid;
    return principalOf(facts, known === "" ? this.#clusterUid : known);
  }

  /** For the headers of answers, which need no permission. */
  header(): ReturnType<NodeApi["header"]> {
    return this.#node.header();
  }

  /** For probes, which need no permission either. */
  info(): ReturnType<NodeApi["info"]> {
    return this.#node.info();
  }

  /** A linearizable read works here and the founding is complete. */
  ready(options: Parameters<NodeApi["ready"]>[0]): Promise<void> {
    return this.#node.ready(options);
  }
}
