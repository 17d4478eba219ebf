import { clusterLabels, selectorLabels } from "./labels.ts";
import { podDisruptionBudgetName, type ClusterName } from "./names.ts";
import type { KubernetesObject } from "./object.ts";
import { ownerReference } from "./owner.ts";

/**
 * Keeps node drains from taking the majority.
 *
 * @param minAvailable all pods of the cluster less the voters that may be missing
 */
export function buildPodDisruptionBudget(cluster: ClusterName, minAvailable: number): KubernetesObject {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: {
      name: podDisruptionBudgetName(cluster),
      namespace: cluster.namespace,
      labels: clusterLabels(cluster),
      ownerReferences: [ownerReference(cluster)],
    },
    spec: { minAvailable, selector: { matchLabels: selectorLabels(cluster) } },
  };
}
