import { randomBytes } from "node:crypto";
import { type ObjectFacts, type Observed, type OperatorSettings } from "../plan/observed.ts";
import {
  adminSecretName,
  anyServiceName,
  clientAuthoritySecretName,
  clientSecretName,
  clientServiceName,
  type ClusterName,
  memberSecretName,
  memberName,
  peerAuthoritySecretName,
  peersServiceName,
  podDisruptionBudgetName,
  serviceAccountName,
  volumeClaimSerial,
} from "../resources/names.ts";
import { type Expectations } from "../runtime/expectations.ts";
import { type KubernetesObject, objectKey, type ResourceType, RESOURCES } from "../runtime/kubernetes-object.ts";
import { type RestClient } from "../runtime/rest-client.ts";
import { BY_CLUSTER_UID, type Caches, type CacheSet, type Cluster } from "./caches.ts";
import { type AuthorityKey, authorityKeyOf } from "./certificate-facts.ts";
import {
  clusterFacts,
  objectFacts,
  podFacts,
  secretData,
  secretFacts,
  statefulSetFacts,
  volumeClaimFacts,
} from "./facts.ts";
import { type LastAppliedMemory } from "./last-applied.ts";
import { type MemberDoors } from "./member-doors.ts";
import { NamedCache } from "./named-cache.ts";
import { type SecretObject } from "./shapes.ts";

/** What holds a name of ours without our label is looked up again this often. */
const STRANGER_AGE_MS_MAX = 60_000;

export interface ObserverParts {
  readonly client: RestClient;
  readonly caches: Caches;
  readonly secrets: NamedCache<SecretObject>;
  readonly doors: MemberDoors;
  readonly expectations: Expectations;
  readonly lastApplied: LastAppliedMemory;
  readonly settings: OperatorSettings;
}

/** Gathers everything `plan` may know about one cluster into one value. */
export class Observer {
  readonly #parts: ObserverParts;
  readonly #strangers = new Map<string, NamedCache<KubernetesObject>>();

  constructor(parts: ObserverParts) {
    this.#parts = parts;
  }

  /** @throws ApiError when the API server does not answer the reads by name */
  async observe(cluster: Cluster, signal: AbortSignal): Promise<Observed> {
    const { caches, doors, expectations, lastApplied, settings } = this.#parts;
    // Before anything else is read: caches that are read later are only newer. The other way round, an expectation could
    // be met between the two looks, and the decision would rest on the older one.
    const pending = expectations.pending(objectKey(cluster.metadata.namespace ?? "", cluster.metadata.name));
    const facts = clusterFacts(cluster);
    const name: ClusterName = { name: facts.name, namespace: facts.namespace, uid: facts.uid };
    const set = caches.in(facts.namespace);
    const pods = set.pods.byIndex(BY_CLUSTER_UID, facts.uid);
    const statefulSets = set.statefulSets
      .byIndex(BY_CLUSTER_UID, facts.uid)
      .map((object) => statefulSetFacts(object, lastApplied.get("StatefulSet", object)));
    const volumeClaims = set.volumeClaims
      .byIndex(BY_CLUSTER_UID, facts.uid)
      .map((object) => volumeClaimFacts(object, lastApplied.get("PersistentVolumeClaim", object)));
    const members = new Set([
      ...statefulSets.map((each) => each.name),
      ...(facts.status.members ?? []).map((each) => each.name),
      ...volumeClaims.flatMap((each) => {
        const serial = volumeClaimSerial(name, each.name);
        return serial === undefined ? [] : [memberName(name, serial)];
      }),
    ]);
    const now = Date.now();
    const [objects, secrets, reports] = await Promise.all([
      this.#objects(set, name, signal),
      this.#secrets(name, members, signal),
      doors.probe(name, pods, signal),
    ]);
    return {
      cluster: facts,
      settings,
      objects,
      statefulSets,
      pods: pods.map((pod) => podFacts(pod, now)),
      volumeClaims,
      secrets,
      reports,
      pending,
      proposedClusterId: randomBytes(8).toString("hex"),
    };
  }

  async #objects(set: CacheSet, cluster: ClusterName, signal: AbortSignal): Promise<ObjectFacts[]> {
    const { namespace, uid } = cluster;
    const kinds = [
      { type: RESOURCES.serviceAccounts, store: set.serviceAccounts, names: [serviceAccountName(cluster)] },
      {
        type: RESOURCES.services,
        store: set.services,
        names: [clientServiceName(cluster), peersServiceName(cluster), anyServiceName(cluster)],
      },
      {
        type: RESOURCES.podDisruptionBudgets,
        store: set.podDisruptionBudgets,
        names: [podDisruptionBudgetName(cluster)],
      },
    ];
    const facts: ObjectFacts[] = [];
    for (const { type, store, names } of kinds) {
      const found = new Map(store.byIndex(BY_CLUSTER_UID, uid).map((object) => [object.metadata.name, object]));
      for (const name of names) {
        if (found.has(name)) continue;
        const holder = store.get(objectKey(namespace, name)) ?? (await this.#stranger(type, namespace, name, signal));
        if (holder !== undefined) found.set(name, holder);
      }
      for (const object of found.values()) {
        facts.push(objectFacts(type.kind, object, this.#parts.lastApplied.get(type.kind, object)));
      }
    }
    return facts;
  }

  #stranger(
    type: ResourceType,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<KubernetesObject | undefined> {
    let cache = this.#strangers.get(type.plural);
    if (cache === undefined) {
      cache = new NamedCache<KubernetesObject>(this.#parts.client, type, { ageMsMax: STRANGER_AGE_MS_MAX });
      this.#strangers.set(type.plural, cache);
    }
    return cache.get(namespace, name, signal);
  }

  async #secrets(
    cluster: ClusterName,
    members: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<Observed["secrets"]> {
    const authorityNames = [clientAuthoritySecretName(cluster), peerAuthoritySecretName(cluster)];
    const leafNames = [adminSecretName(cluster), clientSecretName(cluster), ...[...members].map(memberSecretName)];
    const read = (name: string) => this.#parts.secrets.get(cluster.namespace, name, signal);
    const authorities = (await Promise.all(authorityNames.map(read))).filter((secret) => secret !== undefined);
    const leaves = (await Promise.all(leafNames.map(read))).filter((secret) => secret !== undefined);
    const keys: AuthorityKey[] = [];
    for (const secret of authorities) {
      const key = authorityKeyOf(secretData(secret).get("tls.crt"));
      if (key !== undefined) keys.push(key);
    }
    return [...authorities, ...leaves].map((secret) =>
      secretFacts(secret, keys, this.#parts.lastApplied.get("Secret", secret)),
    );
  }
}
