/** A rule of a Role, as rbac.authorization.k8s.io/v1 has it. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const rule = (group: string, resources: readonly string[], verbs: readonly string[]): PolicyRule => ({
  apiGroups: [group],
  resources,
  verbs,
});

/** Server-side apply needs `create` for a new object and `patch` for all. */
const CHILD_VERBS = ["get", "list", "watch", "create", "patch"];

/**
 * What the operator may do in the namespaces it watches. It never writes a ConcordCluster, only its status, and it
 * neither lists nor watches Secrets: it reads its own ones by name.
 */
export const CLUSTER_RULES: readonly PolicyRule[] = [
  rule("concord.io", ["concordclusters"], ["get", "list", "watch"]),
  rule("concord.io", ["concordclusters/status"], ["patch"]),
  // Owner references with blockOwnerDeletion need this where the admission plugin for them is on.
  rule("concord.io", ["concordclusters/finalizers"], ["update"]),
  rule("apps", ["statefulsets"], [...CHILD_VERBS, "delete"]),
  rule("policy", ["poddisruptionbudgets"], [...CHILD_VERBS, "delete"]),
  rule("", ["persistentvolumeclaims"], [...CHILD_VERBS, "delete"]),
  rule("", ["services", "serviceaccounts"], CHILD_VERBS),
  rule("", ["pods"], ["get", "list", "watch", "patch", "delete"]),
  rule("", ["secrets"], ["get", "create", "patch", "delete"]),
  rule("events.k8s.io", ["events"], ["create", "patch"]),
];

/** Leader election, in the operator's own namespace. */
export const LEASE_RULES: readonly PolicyRule[] = [
  rule("coordination.k8s.io", ["leases"], ["get", "create", "update"]),
];

/** The operator reads its own pod to learn its image. */
export const OWN_POD_RULES: readonly PolicyRule[] = [rule("", ["pods"], ["get"])];
