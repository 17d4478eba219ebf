import type { ClusterName } from "./names.ts";

export const MANAGED_BY = "concord-operator";

/** Field managers of server-side apply. */
export const FIELD_MANAGER = "concord-operator";
export const STATUS_FIELD_MANAGER = "concord-operator-status";

export const LABEL = {
  name: "app.kubernetes.io/name",
  instance: "app.kubernetes.io/instance",
  component: "app.kubernetes.io/component",
  managedBy: "app.kubernetes.io/managed-by",
  cluster: "concord.io/cluster",
  clusterUid: "concord.io/cluster-uid",
  member: "concord.io/member",
  /** "true" once the member's founding or join was confirmed: the client Service selects it. */
  serving: "concord.io/serving",
} as const;

export const ANNOTATION = {
  /** On the pod template: hash of what the user can change about a pod. */
  templateHash: "concord.io/template-hash",
  /** On the peers Service: the cluster id, a second home beside status. */
  clusterId: "concord.io/cluster-id",
  /** On the peers Service: how many members found the cluster. */
  foundingSize: "concord.io/founding-size",
  /** On the ConcordCluster: "true" pauses like `spec.paused`. */
  paused: "concord.io/paused",
  /** On the ConcordCluster: any new value restarts all members, one by one. */
  restartedAt: "concord.io/restarted-at",
} as const;

/** What selectors use: few labels, and never changed. */
export const selectorLabels = (cluster: ClusterName): Record<string, string> => ({
  [LABEL.name]: "concord",
  [LABEL.cluster]: cluster.name,
});

/** On every object of a cluster. */
export const clusterLabels = (cluster: ClusterName): Record<string, string> => ({
  ...selectorLabels(cluster),
  [LABEL.instance]: cluster.name,
  [LABEL.managedBy]: MANAGED_BY,
  [LABEL.clusterUid]: cluster.uid,
});

/** On the objects of one member. */
export const memberLabels = (cluster: ClusterName, member: string): Record<string, string> => ({
  ...clusterLabels(cluster),
  [LABEL.component]: "member",
  [LABEL.member]: member,
});
