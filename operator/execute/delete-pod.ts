import { type PodObject } from "../observe/shapes.ts";
import { type DeletePodAction } from "../plan/actions.ts";
import { StaleObservationError } from "../runtime/errors.ts";
import { RESOURCES } from "../runtime/kubernetes-object.ts";
import { type ActionContext, expectDelete, readLive, readLiveCluster } from "./context.ts";

export async function executeDeletePod(context: ActionContext, action: DeletePodAction): Promise<void> {
  await readLiveCluster(context);
  const pod = await readLive<PodObject>(context, RESOURCES.pods, action.podName, action.podUid);
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw new StaleObservationError(`Pod ${action.podName} is being deleted already`);
  }
  const { namespace } = context.cluster;
  await context.client.delete(RESOURCES.pods, namespace, action.podName, {
    uid: action.podUid,
    signal: context.signal,
  });
  expectDelete(context, RESOURCES.pods.kind, pod);
}
