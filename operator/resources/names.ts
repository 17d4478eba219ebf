/**
 * Names of everything that belongs to a cluster. Deterministic, so that a second look finds what a first one made.
 */
export const CONTAINER_NAME = "concord";
export const CLIENT_PORT = 2379;
export const PEER_PORT = 2380;
export const METRICS_PORT = 9568;

const UID_PREFIX_LENGTH = 5;

/** The parts of a cluster's identity that names are made of. */
export interface ClusterName {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

/** Also the name of the StatefulSet. */
export const memberName = (cluster: ClusterName, serial: number): string => `${cluster.name}-m${serial}`;

/** The serial in a member's name; undefined for a name that is not of this cluster. */
export function memberSerial(cluster: ClusterName, name: string): number | undefined {
  const prefix = `${cluster.name}-m`;
  if (!name.startsWith(prefix)) return undefined;
  const digits = name.slice(prefix.length);
  return /^[1-9][0-9]{0,8}$/.test(digits) ? Number(digits) : undefined;
}

export const podName = (member: string): string => `${member}-0`;

/** The member a pod runs; undefined for a name that no StatefulSet of one replica gives. */
export const memberOfPod = (pod: string): string | undefined => (pod.endsWith("-0") ? pod.slice(0, -2) : undefined);

/** Carries a piece of the cluster's UID: a cluster that is made again under the same name gets volumes of its own. */
export const volumeClaimName = (cluster: ClusterName, serial: number): string =>
  `data-${cluster.name}-${cluster.uid.slice(0, UID_PREFIX_LENGTH)}-m${serial}`;

/** The serial in a claim's name; undefined for a claim that is not of this cluster. */
export function volumeClaimSerial(cluster: ClusterName, name: string): number | undefined {
  const prefix = volumeClaimName(cluster, 0).slice(0, -1);
  if (!name.startsWith(prefix)) return undefined;
  const digits = name.slice(prefix.length);
  return /^[1-9][0-9]{0,8}$/.test(digits) ? Number(digits) : undefined;
}

export const clientServiceName = (cluster: ClusterName): string => cluster.name;
export const peersServiceName = (cluster: ClusterName): string => `${cluster.name}-peers`;
export const anyServiceName = (cluster: ClusterName): string => `${cluster.name}-any`;
export const serviceAccountName = (cluster: ClusterName): string => cluster.name;
export const podDisruptionBudgetName = (cluster: ClusterName): string => cluster.name;

export const clientAuthoritySecretName = (cluster: ClusterName): string => `${cluster.name}-client-ca`;
export const peerAuthoritySecretName = (cluster: ClusterName): string => `${cluster.name}-peer-ca`;
export const adminSecretName = (cluster: ClusterName): string => `${cluster.name}-admin-tls`;
export const clientSecretName = (cluster: ClusterName): string => `${cluster.name}-client-tls`;
export const memberSecretName = (member: string): string => `${member}-tls`;

/** DNS name of a member, the same for life; the peers Service publishes it even while the pod is not ready. */
export const memberHost = (cluster: ClusterName, member: string): string =>
  `${podName(member)}.${peersServiceName(cluster)}.${cluster.namespace}.svc`;

export const clientUrl = (cluster: ClusterName, member: string): string =>
  `https://${memberHost(cluster, member)}:${CLIENT_PORT}`;
export const peerUrl = (cluster: ClusterName, member: string): string =>
  `https://${memberHost(cluster, member)}:${PEER_PORT}`;

/** URI SAN of the operator's own certificate. */
export const adminUri = (cluster: ClusterName): string => `concord://${cluster.uid}/role/admin`;
/** URI SAN of a member's peer certificate. */
export const memberUri = (cluster: ClusterName, member: string): string => `concord://${cluster.uid}/member/${member}`;
