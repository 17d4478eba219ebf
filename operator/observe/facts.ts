import {
  type ClusterFacts,
  type ObjectFacts,
  type PodFacts,
  type SecretFacts,
  type StatefulSetFacts,
  type VolumeClaimFacts,
} from "../plan/observed.ts";
import { ANNOTATION } from "../resources/labels.ts";
import { CONTAINER_NAME } from "../resources/names.ts";
import { controllerOf, type KubernetesObject } from "../runtime/kubernetes-object.ts";
import { type Cluster } from "./caches.ts";
import { type AuthorityKey, certificateFactsOf } from "./certificate-facts.ts";
import {
  type ContainerStatus,
  type PodObject,
  type SecretObject,
  type StatefulSetObject,
  type VolumeClaimObject,
} from "./shapes.ts";

export type LastApplied = ObjectFacts["lastApplied"];

export function clusterFacts(cluster: Cluster): ClusterFacts {
  const { metadata } = cluster;
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? "",
    uid: metadata.uid ?? "",
    generation: metadata.generation ?? 0,
    resourceVersion: metadata.resourceVersion ?? "",
    deleting: metadata.deletionTimestamp !== undefined,
    annotations: metadata.annotations ?? {},
    spec: cluster.spec ?? {},
    status: cluster.status ?? {},
  };
}

export function objectFacts(kind: string, object: KubernetesObject, lastApplied: LastApplied): ObjectFacts {
  const { metadata } = object;
  return {
    kind,
    name: metadata.name,
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    deleting: metadata.deletionTimestamp !== undefined,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    controllerUid: controllerOf(object)?.uid,
    lastApplied,
  };
}

export function statefulSetFacts(object: StatefulSetObject, lastApplied: LastApplied): StatefulSetFacts {
  const template = object.spec?.template;
  return {
    ...objectFacts("StatefulSet", object, lastApplied),
    templateHash: template?.metadata?.annotations?.[ANNOTATION.templateHash],
    image: template?.spec?.containers?.find(({ name }) => name === CONTAINER_NAME)?.image,
    settled: (object.status?.observedGeneration ?? 0) >= (object.metadata.generation ?? 0),
  };
}

export function volumeClaimFacts(object: VolumeClaimObject, lastApplied: LastApplied): VolumeClaimFacts {
  return {
    ...objectFacts("PersistentVolumeClaim", object, lastApplied),
    phase: object.status?.phase ?? "",
    requestedSize: object.spec?.resources?.requests?.storage ?? "",
    storageClassName: object.spec?.storageClassName,
  };
}

/** Values of a Secret, decoded as text. */
export function secretData(object: SecretObject): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(object.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]),
  );
}

export function secretFacts(
  object: SecretObject,
  authorities: readonly AuthorityKey[],
  lastApplied: LastApplied,
): SecretFacts {
  const data = secretData(object);
  return {
    ...objectFacts("Secret", object, lastApplied),
    certificates: certificateFactsOf(data, authorities),
    keys: [...data].filter(([, value]) => value !== "").map(([key]) => key),
  };
}

/** What a kubelet that answers needs at most, beyond the grace period, to end a pod and to say so. */
const POD_END_MS_MAX = 30_000;

/** @param now Unix milliseconds */
export function podFacts(pod: PodObject, now: number): PodFacts {
  const { metadata, status } = pod;
  const container = status?.containerStatuses?.find(({ name }) => name === CONTAINER_NAME);
  const scheduled = status?.conditions?.find(({ type }) => type === "PodScheduled");
  return {
    name: metadata.name,
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    deleting: metadata.deletionTimestamp !== undefined,
    // The API server sets the timestamp to the end of the grace period.
    overdue: now > Date.parse(metadata.deletionTimestamp ?? "") + POD_END_MS_MAX,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    controllerUid: controllerOf(pod)?.uid,
    ready: status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false,
    running: container?.state?.running !== undefined,
    nodeName: pod.spec?.nodeName,
    restartCount: container?.restartCount ?? 0,
    lastTermination: lastTermination(container),
    waitingReason:
      container?.state?.waiting?.reason ?? (scheduled?.status === "False" ? (scheduled.reason ?? "") : undefined),
  };
}

function lastTermination(container: ContainerStatus | undefined): PodFacts["lastTermination"] {
  const terminated = container?.state?.terminated ?? container?.lastState?.terminated;
  if (terminated === undefined) return undefined;
  const text = terminated.message ?? "";
  const { code, message } = terminationMessage(text);
  return { exitCode: terminated.exitCode, reason: terminated.reason ?? "", code, message };
}

/** A member writes `{"code": …, "message": …}` before it exits by its own decision. */
function terminationMessage(text: string): { readonly code: string; readonly message: string } {
  try {
    const parsed = JSON.parse(text) as { readonly code?: unknown; readonly message?: unknown } | null;
    const code = typeof parsed?.code === "string" ? parsed.code : "";
    return { code, message: typeof parsed?.message === "string" ? parsed.message : text };
  } catch {
    return { code: "", message: text };
  }
}
