import { clusterLabels, memberLabels } from "./labels.ts";
import { memberSecretName, type ClusterName } from "./names.ts";
import type { KubernetesObject } from "./object.ts";
import { ownerReference } from "./owner.ts";

/** A Secret of the cluster without its data, which only the executor ever sees. */
export function buildTlsSecret(cluster: ClusterName, name: string): KubernetesObject {
  return secret(cluster, name, clusterLabels(cluster), "kubernetes.io/tls");
}

/** Certificates of one member; Opaque, because it holds two pairs. */
export function buildMemberSecret(cluster: ClusterName, member: string): KubernetesObject {
  return secret(cluster, memberSecretName(member), memberLabels(cluster, member), "Opaque");
}

function secret(cluster: ClusterName, name: string, labels: Record<string, string>, type: string): KubernetesObject {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: cluster.namespace, labels, ownerReferences: [ownerReference(cluster)] },
    type,
  };
}
