/** What the runtime needs of any Kubernetes object. Bodies pass through as raw JSON, so unknown fields are never lost. */
export interface KubernetesObject {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata: ObjectMeta;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly generation?: number | undefined;
  readonly creationTimestamp?: string | undefined;
  readonly deletionTimestamp?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly ownerReferences?: readonly OwnerReference[] | undefined;
  readonly finalizers?: readonly string[] | undefined;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean | undefined;
  readonly blockOwnerDeletion?: boolean | undefined;
}

export interface KubernetesList<T> {
  readonly metadata: {
    readonly resourceVersion?: string;
    readonly continue?: string;
  };
  /** Go encodes an empty slice as null in places. */
  readonly items: readonly T[] | null;
}

/** Where a kind lives in the API. */
export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
}

const resource = (group: string, version: string, plural: string, kind: string): ResourceType => ({
  group,
  version,
  plural,
  kind,
});

/** The kinds the operator touches. */
export const RESOURCES = {
  concordClusters: resource("concord.io", "v1alpha1", "concordclusters", "ConcordCluster"),
  pods: resource("", "v1", "pods", "Pod"),
  services: resource("", "v1", "services", "Service"),
  secrets: resource("", "v1", "secrets", "Secret"),
  configMaps: resource("", "v1", "configmaps", "ConfigMap"),
  serviceAccounts: resource("", "v1", "serviceaccounts", "ServiceAccount"),
  persistentVolumeClaims: resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
  statefulSets: resource("apps", "v1", "statefulsets", "StatefulSet"),
  podDisruptionBudgets: resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
  networkPolicies: resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
  leases: resource("coordination.k8s.io", "v1", "leases", "Lease"),
  events: resource("events.k8s.io", "v1", "events", "Event"),
} as const satisfies Record<string, ResourceType>;

const BY_KIND = new Map<string, ResourceType>(
  Object.values(RESOURCES).map((type) => [`${apiVersionOf(type)}/${type.kind}`, type]),
);

/** @throws TypeError when the object names a kind that the operator does not handle. */
export function resourceTypeOf(object: KubernetesObject): ResourceType {
  const type = BY_KIND.get(`${object.apiVersion ?? ""}/${object.kind ?? ""}`);
  if (type === undefined) {
    throw new TypeError(`Cannot handle kind "${object.kind ?? ""}" of "${object.apiVersion ?? ""}"`);
  }
  return type;
}

export function apiVersionOf(type: ResourceType): string {
  return type.group === "" ? type.version : `${type.group}/${type.version}`;
}

/** `namespace/name`: the key of caches, queues and expectations. */
export function keyOf(object: KubernetesObject): string {
  return objectKey(object.metadata.namespace ?? "", object.metadata.name);
}

export function objectKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The owner that manages the object, or undefined. */
export function controllerOf(object: KubernetesObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

/**
 * Orders resource versions, which are decimal numbers of one counter (comparable since Kubernetes 1.35 by contract, and
 * before in fact). Zero-padded or non-decimal input compares as text.
 *
 * @returns negative, zero or positive, as for Array.sort
 */
export function compareResourceVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
