import { type ConcordClusterSpec, type ConcordClusterStatus } from "../api/v1alpha1/cluster.ts";
import { LABEL, MANAGED_BY } from "../resources/labels.ts";
import { type KubernetesObject, objectKey, type ResourceType, RESOURCES } from "../runtime/kubernetes-object.ts";
import { type Logger } from "../runtime/logger.ts";
import { Reflector, type ReflectorOptions } from "../runtime/reflector.ts";
import { type RestClient } from "../runtime/rest-client.ts";
import { Store } from "../runtime/store.ts";
import { type ClusterObject, type PodObject, type StatefulSetObject, type VolumeClaimObject } from "./shapes.ts";

export type Cluster = ClusterObject<ConcordClusterSpec, ConcordClusterStatus>;

/** Index of all child stores: value of the label `concord.io/cluster-uid`. */
export const BY_CLUSTER_UID = "clusterUid";

const indexers = {
  [BY_CLUSTER_UID]: (object: KubernetesObject): readonly string[] => {
    const uid = object.metadata.labels?.[LABEL.clusterUid];
    return uid === undefined ? [] : [uid];
  },
};

/** The caches of one namespace, or of all when the operator watches all. */
export interface CacheSet {
  readonly clusters: Store<Cluster>;
  readonly pods: Store<PodObject>;
  readonly statefulSets: Store<StatefulSetObject>;
  readonly volumeClaims: Store<VolumeClaimObject>;
  readonly services: Store<KubernetesObject>;
  readonly serviceAccounts: Store<KubernetesObject>;
  readonly podDisruptionBudgets: Store<KubernetesObject>;
}

export interface CachesOptions {
  /** Undefined watches all namespaces. */
  readonly namespaces: readonly string[] | undefined;
  /** Shorter waits for tests. */
  readonly reflector?: Partial<Omit<ReflectorOptions, "type" | "namespace" | "labelSelector">>;
}

/**
 * What the operator keeps of the Kubernetes cluster. Of everything but ConcordClusters only objects with its own label
 * are watched, so that memory does not grow with the rest of the cluster. Secrets are never listed or watched.
 */
export class Caches {
  readonly #sets = new Map<string, CacheSet>();
  readonly #reflectors: Reflector<never>[] = [];
  readonly #all: boolean;

  constructor(client: RestClient, log: Logger, options: CachesOptions) {
    this.#all = options.namespaces === undefined;
    for (const namespace of options.namespaces ?? [undefined]) {
      const open = <T extends KubernetesObject>(type: ResourceType, labelSelector: string | undefined): Store<T> => {
        const store = new Store<T>(indexers);
        const reflector = new Reflector<T>(client, store, log, {
          ...options.reflector,
          type,
          namespace,
          labelSelector,
        });
        this.#reflectors.push(reflector as unknown as Reflector<never>);
        return store;
      };
      const own = `${LABEL.managedBy}=${MANAGED_BY}`;
      this.#sets.set(namespace ?? "", {
        clusters: open<Cluster>(RESOURCES.concordClusters, undefined),
        pods: open<PodObject>(RESOURCES.pods, own),
        statefulSets: open<StatefulSetObject>(RESOURCES.statefulSets, own),
        volumeClaims: open<VolumeClaimObject>(RESOURCES.persistentVolumeClaims, own),
        services: open(RESOURCES.services, own),
        serviceAccounts: open(RESOURCES.serviceAccounts, own),
        podDisruptionBudgets: open(RESOURCES.podDisruptionBudgets, own),
      });
    }
  }

  /** @throws TypeError for a namespace that is not watched */
  in(namespace: string): CacheSet {
    const set = this.#sets.get(this.#all ? "" : namespace);
    if (set === undefined) throw new TypeError(`Cannot look into namespace "${namespace}": it is not watched`);
    return set;
  }

  /** The cache an object of this kind is in; undefined for kinds that are not cached. */
  storeOf(namespace: string, kind: string): Store<KubernetesObject> | undefined {
    const set = this.in(namespace);
    const stores: Readonly<Record<string, unknown>> = {
      [RESOURCES.concordClusters.kind]: set.clusters,
      [RESOURCES.pods.kind]: set.pods,
      [RESOURCES.statefulSets.kind]: set.statefulSets,
      [RESOURCES.persistentVolumeClaims.kind]: set.volumeClaims,
      [RESOURCES.services.kind]: set.services,
      [RESOURCES.serviceAccounts.kind]: set.serviceAccounts,
      [RESOURCES.podDisruptionBudgets.kind]: set.podDisruptionBudgets,
    };
    return stores[kind] as Store<KubernetesObject> | undefined;
  }

  /** Calls `enqueue` with the key of the cluster that a change belongs to. */
  onClusterChange(enqueue: (key: string) => void): void {
    for (const { clusters, ...children } of this.#sets.values()) {
      clusters.onChange(({ object }) => enqueue(objectKey(object.metadata.namespace ?? "", object.metadata.name)));
      for (const store of Object.values(children) as Pick<Store<KubernetesObject>, "onChange">[]) {
        store.onChange(({ object }) => {
          const cluster = object.metadata.labels?.[LABEL.cluster];
          if (cluster !== undefined) enqueue(objectKey(object.metadata.namespace ?? "", cluster));
        });
      }
    }
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
  }

  get hasSynced(): boolean {
    return this.#reflectors.every((reflector) => reflector.hasSynced);
  }

  async waitForSync(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.waitForSync()));
  }

  async close(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.close()));
  }
}
