import { apply, get, type KubeObject, kubectl, list, until } from "./kubectl.ts";

export interface ClusterStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }[];
  readonly clusterID?: string;
  readonly leader?: string;
  readonly replicas?: number;
  readonly readyReplicas?: number;
  readonly members?: readonly {
    readonly name: string;
    readonly id?: string;
    readonly role: string;
    readonly state: string;
    readonly volumeClaimName: string;
  }[];
}

export interface PodObject extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

const CLUSTER_LABEL = "concord.io/cluster";

/** One ConcordCluster, and what belongs to it. */
export class TestCluster {
  readonly namespace: string;
  readonly name: string;

  constructor(namespace: string, name: string) {
    this.namespace = namespace;
    this.name = name;
  }

  async create(spec: object = {}): Promise<void> {
    await apply({
      apiVersion: "concord.io/v1alpha1",
      kind: "ConcordCluster",
      metadata: { name: this.name, namespace: this.namespace },
      spec,
    });
  }

  async patch(spec: object): Promise<void> {
    await kubectl(
      "-n",
      this.namespace,
      "patch",
      "concordcluster",
      this.name,
      "--type=merge",
      "-p",
      JSON.stringify({ spec }),
    );
  }

  async object(): Promise<KubeObject> {
    const object = await get(this.namespace, "concordcluster", this.name);
    if (object === undefined) throw new Error(`There is no ConcordCluster ${this.namespace}/${this.name}`);
    return object;
  }

  async status(): Promise<ClusterStatus> {
    return (await this.object()).status ?? {};
  }

  /** Ready for the spec that is there now. @returns milliseconds it took */
  async waitReady(timeoutMs = 180_000): Promise<number> {
    const startedMs = Date.now();
    let last = "";
    try {
      await until(`ConcordCluster ${this.name} to be Ready`, timeoutMs, async () => {
        const object = await this.object();
        const status = (object.status ?? {}) as ClusterStatus;
        last = JSON.stringify(status.conditions);
        const ready = status.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True");
        return ready === true && status.observedGeneration === object.metadata.generation;
      });
    } catch (error) {
      const pods = await kubectl("-n", this.namespace, "get", "pods,pvc,statefulsets", "-o", "wide");
      const events = await kubectl("-n", this.namespace, "get", "events", "--sort-by=.lastTimestamp");
      throw new Error(`Conditions ${last}\n${pods}\n${events.split("\n").slice(-30).join("\n")}`, { cause: error });
    }
    return Date.now() - startedMs;
  }

  pods(): Promise<readonly PodObject[]> {
    return list<PodObject>(this.namespace, "pods", `${CLUSTER_LABEL}=${this.name}`);
  }

  /** UID and restarts of each pod by name: equal before and after means that nothing was restarted. */
  async incarnations(): Promise<Readonly<Record<string, string>>> {
    const entries = (await this.pods()).map((pod) => {
      const restarts = (pod.status.containerStatuses ?? []).map(({ restartCount }) => restartCount).join(",");
      return [pod.metadata.name, `${pod.metadata.uid} ${restarts}`] as const;
    });
    return Object.fromEntries(entries);
  }

  /** Pod of the leading member. */
  async leaderPod(): Promise<string> {
    return until("a leader in the status", 30_000, async () => {
      const { leader } = await this.status();
      return leader === undefined ? undefined : `${leader}-0`;
    });
  }

  /** Versions of everything the operator writes for this cluster. */
  async versions(): Promise<Readonly<Record<string, string>>> {
    const kinds =
      "concordclusters,statefulsets,services,serviceaccounts,secrets,persistentvolumeclaims,poddisruptionbudgets,pods";
    const objects = await list(this.namespace, kinds);
    const own = objects.filter(
      (each) => each.kind === "ConcordCluster" || each.metadata.labels?.[CLUSTER_LABEL] === this.name,
    );
    return Object.fromEntries(own.map(({ kind, metadata }) => [`${kind}/${metadata.name}`, metadata.resourceVersion]));
  }
}
