import type { ConcordClusterSpec } from "../api/v1alpha1/cluster.ts";
import { ANNOTATION, LABEL, clusterLabels, selectorLabels } from "./labels.ts";
import {
  CLIENT_PORT,
  METRICS_PORT,
  PEER_PORT,
  anyServiceName,
  clientServiceName,
  peersServiceName,
  type ClusterName,
} from "./names.ts";
import { compact, type KubernetesObject } from "./object.ts";
import { ownerReference } from "./owner.ts";

// The names that etcd's SRV discovery looks for.
const clientPort = { name: "etcd-client-ssl", port: CLIENT_PORT, targetPort: CLIENT_PORT, protocol: "TCP" };
const peerPort = { name: "etcd-server-ssl", port: PEER_PORT, targetPort: PEER_PORT, protocol: "TCP" };
const metricsPort = { name: "metrics", port: METRICS_PORT, targetPort: METRICS_PORT, protocol: "TCP" };

/** For clients: ready members whose founding or join was confirmed. */
export function buildClientService(cluster: ClusterName, spec: ConcordClusterSpec): KubernetesObject {
  const custom = spec.services?.client;
  return service(cluster, clientServiceName(cluster), {
    labels: custom?.labels,
    annotations: custom?.annotations,
    spec: {
      type: custom?.type ?? "ClusterIP",
      selector: { ...selectorLabels(cluster), [LABEL.serving]: "true" },
      ports: [clientPort],
    },
  });
}

/** DNS names of the members, also of those that are not ready: they must find each other to become ready. */
export function buildPeersService(
  cluster: ClusterName,
  founding: { readonly clusterId: string | undefined; readonly size: number | undefined },
): KubernetesObject {
  return service(cluster, peersServiceName(cluster), {
    annotations: {
      ...(founding.clusterId === undefined ? {} : { [ANNOTATION.clusterId]: founding.clusterId }),
      ...(founding.size === undefined ? {} : { [ANNOTATION.foundingSize]: String(founding.size) }),
    },
    spec: {
      type: "ClusterIP",
      clusterIP: "None",
      publishNotReadyAddresses: true,
      selector: selectorLabels(cluster),
      ports: [clientPort, peerPort, metricsPort],
    },
  });
}

/** All members, ready or not: eventual reads and diagnosis while there is no quorum. */
export function buildAnyService(cluster: ClusterName): KubernetesObject {
  return service(cluster, anyServiceName(cluster), {
    spec: {
      type: "ClusterIP",
      publishNotReadyAddresses: true,
      selector: selectorLabels(cluster),
      ports: [clientPort],
    },
  });
}

function service(
  cluster: ClusterName,
  name: string,
  parts: {
    readonly labels?: Record<string, string> | undefined;
    readonly annotations?: Record<string, string> | undefined;
    readonly spec: Record<string, unknown>;
  },
): KubernetesObject {
  return compact({
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace: cluster.namespace,
      labels: { ...parts.labels, ...clusterLabels(cluster) },
      annotations: parts.annotations as Record<string, string>,
      ownerReferences: [ownerReference(cluster)],
    },
    spec: parts.spec,
  });
}
