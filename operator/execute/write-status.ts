import { isDeepStrictEqual } from "node:util";
import { API_VERSION, type ConcordClusterStatus, KIND } from "../api/v1alpha1/cluster.ts";
import { type Cluster } from "../observe/caches.ts";
import { compact } from "../resources/object.ts";
import { RESOURCES } from "../runtime/kubernetes-object.ts";
import { type ActionContext, expectWrite } from "./context.ts";

/**
 * Writes the status when it differs from the observed one, on the condition that nobody has touched the ConcordCluster
 * since.
 *
 * @returns whether it was written
 * @throws ApiError with status 409 when somebody did
 */
export async function writeStatus(context: ActionContext, status: ConcordClusterStatus): Promise<boolean> {
  const wanted = compact(status);
  if (isDeepStrictEqual(wanted, context.facts.status)) return false;
  await context.failpoint("before:writeStatus");
  const { name, namespace, resourceVersion, uid } = context.facts;
  const object = {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name, namespace, uid, resourceVersion },
    status: wanted,
  };
  const answer = await context.client.apply<Cluster>(object, { subresource: "status", signal: context.signal });
  expectWrite(context, RESOURCES.concordClusters.kind, answer);
  await context.failpoint("after:writeStatus");
  return true;
}
