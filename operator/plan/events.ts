import type { ConcordClusterStatus } from "../api/v1alpha1/cluster.ts";
import type { ActStep } from "./step.ts";
import type { PlannedEvent } from "./plan.ts";
import { conditionOf } from "./status.ts";

const normal = (reason: string, message: string): PlannedEvent => ({ type: "Normal", reason, message });
const warning = (reason: string, message: string): PlannedEvent => ({ type: "Warning", reason, message });

/** The story of a cluster: what the operator is about to do, and what changed since it last looked. */
export function planEvents(
  previous: ConcordClusterStatus,
  next: ConcordClusterStatus,
  action: ActStep | undefined,
): readonly PlannedEvent[] {
  const events: PlannedEvent[] = action === undefined ? [] : [normal(action.reason, action.message)];
  if (previous.clusterID === undefined && next.clusterID !== undefined) {
    events.push(normal("ClusterIDAssigned", `The cluster id is ${next.clusterID}`));
  }
  if (previous.bootstrapTime === undefined && next.bootstrapTime !== undefined) {
    events.push(normal("Founded", `All ${next.founding?.size ?? next.replicas ?? 0} founding members vote`));
  }
  if (previous.leader !== undefined && next.leader !== undefined && previous.leader !== next.leader) {
    events.push(normal("LeaderChanged", `${next.leader} leads, before it was ${previous.leader}`));
  }
  for (const type of ["Stalled", "Degraded"]) {
    const before = conditionOf(previous.conditions, type);
    const after = conditionOf(next.conditions, type);
    if (after?.status === "True" && (before?.status !== "True" || before.reason !== after.reason)) {
      events.push(warning(after.reason, after.message));
    }
  }
  const wasReady = conditionOf(previous.conditions, "Ready")?.status === "True";
  const ready = conditionOf(next.conditions, "Ready");
  if (!wasReady && ready?.status === "True") events.push(normal("Ready", ready.message));
  return events;
}
