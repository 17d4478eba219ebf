import { RESOURCES_DEFAULT } from "../api/v1alpha1/defaults.ts";
import type { ConcordClusterSpec } from "../api/v1alpha1/cluster.ts";
import { contentHash } from "./hash.ts";
import { ANNOTATION, LABEL, memberLabels, selectorLabels } from "./labels.ts";
import { strategicMerge } from "./merge.ts";
import {
  CLIENT_PORT,
  CONTAINER_NAME,
  METRICS_PORT,
  PEER_PORT,
  clientUrl,
  memberName,
  memberSecretName,
  peersServiceName,
  peerUrl,
  serviceAccountName,
  volumeClaimName,
  type ClusterName,
} from "./names.ts";
import { compact, type KubernetesObject } from "./object.ts";
import { ownerReference } from "./owner.ts";

const DATA_PATH = "/var/lib/concord";
const TLS_PATH = "/etc/concord/tls";
const TERMINATION_MESSAGE_PATH = "/dev/termination-log";
const USER_ID = 1000;
const TERMINATION_GRACE_SECONDS = 30;
/** A large checkpoint plus the log behind it must be loaded within this time, or the kubelet starts over. */
const STARTUP_SECONDS_MAX = 1800;

/** One member of one cluster, as its StatefulSet sees it. */
export interface MemberPodOptions {
  readonly serial: number;
  readonly image: string;
  /** Whether clients may be sent here: its founding or join was confirmed. */
  readonly serving: boolean;
  /** Value of the annotation `concord.io/restarted-at` of the ConcordCluster. */
  readonly restartedAt: string | undefined;
}

/**
 * Hash of everything a person can change about a pod, and nothing else: what another version of the operator builds
 * differently reaches a pod when it restarts anyway, and never restarts it.
 */
export function templateHash(spec: ConcordClusterSpec, image: string, restartedAt: string | undefined): string {
  return contentHash({
    image,
    pullPolicy: spec.image?.pullPolicy,
    pullSecrets: spec.image?.pullSecrets,
    resources: spec.resources,
    scheduling: spec.scheduling,
    config: spec.config,
    podTemplate: spec.podTemplate,
    restartedAt,
  });
}

/**
 * The StatefulSet of one member. `OnDelete`: a changed template never restarts a pod by itself, the operator decides
 * when. `Parallel`: a pod that cannot become ready does not keep its StatefulSet from replacing it.
 */
export function buildStatefulSet(
  cluster: ClusterName,
  spec: ConcordClusterSpec,
  options: MemberPodOptions,
): KubernetesObject {
  const member = memberName(cluster, options.serial);
  const selector = { ...selectorLabels(cluster), [LABEL.member]: member };
  return compact({
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: {
      name: member,
      namespace: cluster.namespace,
      labels: memberLabels(cluster, member),
      ownerReferences: [ownerReference(cluster)],
    },
    spec: {
      serviceName: peersServiceName(cluster),
      replicas: 1,
      podManagementPolicy: "Parallel",
      updateStrategy: { type: "OnDelete" },
      revisionHistoryLimit: 2,
      selector: { matchLabels: selector },
      template: buildPodTemplate(cluster, spec, member, options),
    },
  });
}

function buildPodTemplate(
  cluster: ClusterName,
  spec: ConcordClusterSpec,
  member: string,
  options: MemberPodOptions,
): Record<string, unknown> {
  const custom = spec.podTemplate;
  const pod = buildPodSpec(cluster, spec, member, options);
  return {
    metadata: {
      labels: {
        ...custom?.metadata?.labels,
        ...memberLabels(cluster, member),
        ...(options.serving ? { [LABEL.serving]: "true" } : {}),
      },
      annotations: {
        ...custom?.metadata?.annotations,
        [ANNOTATION.templateHash]: templateHash(spec, options.image, options.restartedAt),
      },
    },
    spec: custom?.spec === undefined ? pod : strategicMerge(pod, custom.spec),
  };
}

function buildPodSpec(
  cluster: ClusterName,
  spec: ConcordClusterSpec,
  member: string,
  options: MemberPodOptions,
): Record<string, unknown> {
  return {
    serviceAccountName: serviceAccountName(cluster),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: TERMINATION_GRACE_SECONDS,
    imagePullSecrets: spec.image?.pullSecrets,
    priorityClassName: spec.scheduling?.priorityClassName,
    nodeSelector: spec.scheduling?.nodeSelector,
    tolerations: spec.scheduling?.tolerations,
    affinity: spec.scheduling?.affinity ?? antiAffinity(cluster, spec.scheduling?.antiAffinity ?? "Preferred"),
    topologySpreadConstraints: spec.scheduling?.topologySpreadConstraints ?? spreadOverZones(cluster),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER_ID,
      runAsGroup: USER_ID,
      fsGroup: USER_ID,
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
    containers: [buildContainer(cluster, spec, member, options)],
    volumes: [
      { name: "data", persistentVolumeClaim: { claimName: volumeClaimName(cluster, options.serial) } },
      // A whole directory, never a subPath: only so do renewed certificates reach the running process.
      { name: "tls", secret: { secretName: memberSecretName(member), defaultMode: 0o440 } },
      { name: "tmp", emptyDir: {} },
    ],
  };
}

function buildContainer(
  cluster: ClusterName,
  spec: ConcordClusterSpec,
  member: string,
  options: MemberPodOptions,
): Record<string, unknown> {
  const probe = (path: string, periodSeconds: number, timeoutSeconds: number, failureThreshold: number) => ({
    httpGet: { path, port: "metrics", scheme: "HTTP" },
    periodSeconds,
    timeoutSeconds,
    failureThreshold,
    successThreshold: 1,
  });
  return {
    name: CONTAINER_NAME,
    image: options.image,
    imagePullPolicy: spec.image?.pullPolicy,
    command: ["concord", "node"],
    args: buildArguments(cluster, spec, member),
    ports: [
      { name: "client", containerPort: CLIENT_PORT, protocol: "TCP" },
      { name: "peer", containerPort: PEER_PORT, protocol: "TCP" },
      { name: "metrics", containerPort: METRICS_PORT, protocol: "TCP" },
    ],
    resources: spec.resources ?? RESOURCES_DEFAULT,
    startupProbe: probe("/startupz", 2, 5, STARTUP_SECONDS_MAX / 2),
    livenessProbe: probe("/livez", 10, 5, 6),
    readinessProbe: probe("/readyz", 3, 3, 3),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    terminationMessagePath: TERMINATION_MESSAGE_PATH,
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: "data", mountPath: DATA_PATH },
      { name: "tls", mountPath: TLS_PATH, readOnly: true },
      { name: "tmp", mountPath: "/tmp" },
    ],
  };
}

function buildArguments(cluster: ClusterName, spec: ConcordClusterSpec, member: string): string[] {
  const config = spec.config;
  const flags: Record<string, string | number | undefined> = {
    name: member,
    "data-dir": DATA_PATH,
    "start-mode": "wait",
    "cluster-uid": cluster.uid,
    "listen-client-urls": `https://0.0.0.0:${CLIENT_PORT}`,
    "advertise-client-urls": clientUrl(cluster, member),
    "listen-peer-urls": `https://0.0.0.0:${PEER_PORT}`,
    "initial-advertise-peer-urls": peerUrl(cluster, member),
    "listen-metrics-urls": `http://0.0.0.0:${METRICS_PORT}`,
    "cert-file": `${TLS_PATH}/server.crt`,
    "key-file": `${TLS_PATH}/server.key`,
    "client-cert-auth": "true",
    "trusted-ca-file": `${TLS_PATH}/client-ca.crt`,
    "peer-cert-file": `${TLS_PATH}/peer.crt`,
    "peer-key-file": `${TLS_PATH}/peer.key`,
    "peer-client-cert-auth": "true",
    "peer-trusted-ca-file": `${TLS_PATH}/peer-ca.crt`,
    "termination-message-path": TERMINATION_MESSAGE_PATH,
    "heartbeat-interval": config?.heartbeatPeriodMilliseconds,
    "election-timeout": config?.electionTimeoutMilliseconds,
    "snapshot-count": config?.snapshotEntries,
    "quota-backend-bytes": config?.quotaBackendBytes,
    "max-request-bytes": config?.maxRequestBytes,
    "auto-compaction-mode": config?.autoCompactionMode,
    "auto-compaction-retention": config?.autoCompactionRetention,
    "log-level": config?.logLevel,
  };
  for (const { name, value } of config?.extra ?? []) flags[name] = value;
  return Object.entries(flags)
    .filter((flag): flag is [string, string | number] => flag[1] !== undefined)
    .map(([flag, value]) => `--${flag}=${value}`);
}

function antiAffinity(cluster: ClusterName, mode: "Preferred" | "Required" | "Disabled") {
  if (mode === "Disabled") return undefined;
  const term = { labelSelector: { matchLabels: selectorLabels(cluster) }, topologyKey: "kubernetes.io/hostname" };
  return mode === "Required"
    ? { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } }
    : {
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }],
        },
      };
}

function spreadOverZones(cluster: ClusterName) {
  return [
    {
      maxSkew: 1,
      topologyKey: "topology.kubernetes.io/zone",
      whenUnsatisfiable: "ScheduleAnyway",
      labelSelector: { matchLabels: selectorLabels(cluster) },
    },
  ];
}
