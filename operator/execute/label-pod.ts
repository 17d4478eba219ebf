import { type LabelPodAction } from "../plan/actions.ts";
import { RESOURCES } from "../runtime/kubernetes-object.ts";
import { type ActionContext, expectWrite } from "./context.ts";

/** Another pod of the same name has another UID, which the API server refuses to change. */
export async function executeLabelPod(context: ActionContext, action: LabelPodAction): Promise<void> {
  const patch = { metadata: { uid: action.podUid, labels: action.labels } };
  const { namespace } = context.cluster;
  const answer = await context.client.patchMerge(RESOURCES.pods, namespace, action.podName, patch, {
    signal: context.signal,
  });
  expectWrite(context, RESOURCES.pods.kind, answer);
}
