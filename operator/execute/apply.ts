import { type ApplyAction } from "../plan/actions.ts";
import { LABEL } from "../resources/labels.ts";
import { StaleObservationError, TerminalError } from "../runtime/errors.ts";
import { controllerOf, type KubernetesObject, resourceTypeOf } from "../runtime/kubernetes-object.ts";
import { type ActionContext, expectWrite } from "./context.ts";

/**
 * Applies one object. What the decision saw must still be there; what it did not see must not be somebody else's, because
 * an apply with force would take it over.
 */
export async function executeApply(context: ActionContext, action: ApplyAction): Promise<void> {
  const { client, signal } = context;
  const type = resourceTypeOf(action.object);
  const { metadata } = action.object;
  let object: KubernetesObject = action.object;
  if (action.uid === undefined) {
    const holder = await client.get(type, metadata.namespace, metadata.name, { signal });
    if (holder !== undefined && !belongsTo(context, holder)) {
      throw new TerminalError(`${type.kind} ${metadata.name} exists and does not belong to this ConcordCluster`);
    }
    if (holder?.metadata.deletionTimestamp !== undefined) {
      throw new StaleObservationError(`${type.kind} ${metadata.name} is still being deleted`);
    }
  } else {
    object = { ...action.object, metadata: { ...metadata, uid: action.uid } };
  }
  const answer = await client.apply(object, { signal });
  context.lastApplied.remember(context.clusterKey, type.kind, action.hash, answer);
  expectWrite(context, type.kind, answer);
}

/** Ours by its owner, or, where the owner was left out to outlive the cluster, by its label. */
function belongsTo(context: ActionContext, object: KubernetesObject): boolean {
  const owner = controllerOf(object);
  if (owner !== undefined) return owner.uid === context.cluster.uid;
  return object.metadata.labels?.[LABEL.clusterUid] === context.cluster.uid;
}
