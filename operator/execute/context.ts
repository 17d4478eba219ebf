import { type AdminClient } from "../../node/client/index.ts";
import { type Caches, type Cluster } from "../observe/caches.ts";
import { type LastAppliedMemory } from "../observe/last-applied.ts";
import { type MemberDoors } from "../observe/member-doors.ts";
import { type NamedCache } from "../observe/named-cache.ts";
import { type PodObject, type SecretObject } from "../observe/shapes.ts";
import { type MemberTarget } from "../plan/actions.ts";
import { type ClusterFacts } from "../plan/observed.ts";
import { type ClusterName } from "../resources/names.ts";
import { StaleObservationError } from "../runtime/errors.ts";
import { type Expectations } from "../runtime/expectations.ts";
import { type KubernetesObject, objectKey, type ResourceType, RESOURCES } from "../runtime/kubernetes-object.ts";
import { type RestClient } from "../runtime/rest-client.ts";

/**
 * Called at the boundaries of every action, `before:` and `after:` its name. Tests end the operator there; in production
 * it does nothing.
 */
export type Failpoint = (name: string) => void | Promise<void>;

export interface ExecutorParts {
  readonly client: RestClient;
  readonly caches: Caches;
  readonly secrets: NamedCache<SecretObject>;
  readonly doors: MemberDoors;
  readonly expectations: Expectations;
  readonly lastApplied: LastAppliedMemory;
  readonly failpoint: Failpoint;
}

/** One cluster, one decision. */
export interface ActionContext extends ExecutorParts {
  readonly cluster: ClusterName;
  /** Key of the cluster in queues and expectations. */
  readonly clusterKey: string;
  /** The cluster as the decision saw it. */
  readonly facts: ClusterFacts;
  readonly signal: AbortSignal;
}

export function contextFor(parts: ExecutorParts, facts: ClusterFacts, signal: AbortSignal): ActionContext {
  const cluster = { name: facts.name, namespace: facts.namespace, uid: facts.uid };
  return { ...parts, cluster, clusterKey: objectKey(facts.namespace, facts.name), facts, signal };
}

/**
 * Reads the ConcordCluster past the cache before a decisive step.
 *
 * @throws StaleObservationError when it is gone, another one, being deleted or edited since the decision
 */
export async function readLiveCluster(context: ActionContext): Promise<Cluster> {
  const { client, cluster, facts, signal } = context;
  const live = await client.get<Cluster>(RESOURCES.concordClusters, cluster.namespace, cluster.name, { signal });
  if (live?.metadata.uid !== cluster.uid) throw new StaleObservationError("The ConcordCluster is gone");
  if (live.metadata.generation !== facts.generation) {
    throw new StaleObservationError(`The ConcordCluster was edited: generation ${live.metadata.generation ?? 0}`);
  }
  if (live.metadata.deletionTimestamp !== undefined && !facts.deleting) {
    throw new StaleObservationError("The ConcordCluster is being deleted");
  }
  return live;
}

/**
 * Reads an object past the cache.
 *
 * @throws StaleObservationError when it is gone or another one has its name
 */
export async function readLive<T extends KubernetesObject>(
  context: ActionContext,
  type: ResourceType,
  name: string,
  uid: string,
): Promise<T> {
  const live = await context.client.get<T>(type, context.cluster.namespace, name, { signal: context.signal });
  if (live?.metadata.uid !== uid) {
    throw new StaleObservationError(`${type.kind} ${name} is not the one of the decision any more`);
  }
  return live;
}

/**
 * The admin door of a member, after a look whether its pod is still the one of the decision.
 *
 * @throws StaleObservationError when it is not, or cannot be reached
 */
export async function openTarget(
  context: ActionContext,
  target: MemberTarget,
): Promise<{ readonly admin: AdminClient; readonly pod: PodObject }> {
  const pod = await readLive<PodObject>(context, RESOURCES.pods, target.podName, target.podUid);
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw new StaleObservationError(`Pod ${target.podName} is being deleted`);
  }
  const admin = await context.doors.open(context.cluster, pod, context.signal);
  if (admin === undefined) throw new StaleObservationError(`Pod ${target.podName} has no address yet`);
  return { admin, pod };
}

/** The same for a member that must be the leader. @throws StaleObservationError when it does not lead any more */
export async function openLeader(context: ActionContext, target: MemberTarget): Promise<AdminClient> {
  const { admin } = await openTarget(context, target);
  const status = await admin.status({ signal: context.signal });
  if (status.role !== "leader" || status.name !== target.memberName || status.clusterUid !== context.cluster.uid) {
    throw new StaleObservationError(`Member ${target.memberName} does not lead any more`);
  }
  return admin;
}

/** Remembers that the caches have to show a write before the next decision. */
export function expectWrite(context: ActionContext, kind: string, written: KubernetesObject): void {
  const store = context.caches.storeOf(context.cluster.namespace, kind);
  if (store !== undefined) context.expectations.expectWrite(context.clusterKey, store, { ...written, kind });
}

/** Remembers that the caches have to show a deletion before the next decision. */
export function expectDelete(context: ActionContext, kind: string, deleted: KubernetesObject): void {
  const store = context.caches.storeOf(context.cluster.namespace, kind);
  if (store !== undefined) context.expectations.expectDelete(context.clusterKey, store, { ...deleted, kind });
}
