import { clusterLabels } from "./labels.ts";
import { serviceAccountName, type ClusterName } from "./names.ts";
import type { KubernetesObject } from "./object.ts";
import { ownerReference } from "./owner.ts";

/** An identity without any rights: members never talk to the API server. */
export function buildServiceAccount(cluster: ClusterName): KubernetesObject {
  return {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: {
      name: serviceAccountName(cluster),
      namespace: cluster.namespace,
      labels: clusterLabels(cluster),
      ownerReferences: [ownerReference(cluster)],
    },
    automountServiceAccountToken: false,
  };
}
