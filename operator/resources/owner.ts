import { API_VERSION, KIND } from "../api/v1alpha1/cluster.ts";
import type { ClusterName } from "./names.ts";
import type { OwnerReference } from "./object.ts";

/** Makes the ConcordCluster the controller of an object, so that deleting the cluster collects it. */
export const ownerReference = (cluster: ClusterName): OwnerReference => ({
  apiVersion: API_VERSION,
  kind: KIND,
  name: cluster.name,
  uid: cluster.uid,
  controller: true,
  blockOwnerDeletion: true,
});
