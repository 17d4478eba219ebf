import type { EffectiveSpec } from "../api/v1alpha1/defaults.ts";
import { memberLabels } from "./labels.ts";
import { memberName, volumeClaimName, type ClusterName } from "./names.ts";
import { compact, type KubernetesObject } from "./object.ts";
import { ownerReference } from "./owner.ts";

/** The volume of one member. It belongs to the ConcordCluster only when it shall go with it. */
export function buildVolumeClaim(
  cluster: ClusterName,
  storage: EffectiveSpec["storage"],
  serial: number,
): KubernetesObject {
  return compact({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: volumeClaimName(cluster, serial),
      namespace: cluster.namespace,
      labels: memberLabels(cluster, memberName(cluster, serial)),
      ...(storage.whenDeleted === "Delete" ? { ownerReferences: [ownerReference(cluster)] } : {}),
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      volumeMode: "Filesystem",
      storageClassName: storage.storageClassName,
      resources: { requests: { storage: storage.size } },
    },
  });
}
