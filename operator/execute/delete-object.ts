import { type DeleteObjectAction } from "../plan/actions.ts";
import { resourceTypeOf } from "../runtime/kubernetes-object.ts";
import { type ActionContext, expectDelete, readLive, readLiveCluster } from "./context.ts";

export async function executeDeleteObject(context: ActionContext, action: DeleteObjectAction): Promise<void> {
  await readLiveCluster(context);
  const { namespace } = context.cluster;
  const identity = { apiVersion: action.apiVersion, kind: action.kind };
  const type = resourceTypeOf({ ...identity, metadata: { name: action.name } });
  const live = await readLive(context, type, action.name, action.uid);
  await context.client.delete(type, namespace, action.name, {
    uid: action.uid,
    propagationPolicy: "Background",
    signal: context.signal,
  });
  if (action.kind === "Secret") context.secrets.forget(namespace, action.name);
  expectDelete(context, action.kind, live);
}
