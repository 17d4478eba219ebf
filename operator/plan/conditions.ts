import type { MemberStatusEntry } from "../api/v1alpha1/cluster.ts";
import type { ConditionType, ConditionValue } from "../api/v1alpha1/conditions.ts";
import type { Step } from "./step.ts";
import { isUpdated, majority, type View } from "./view.ts";

/** What the conditions are read off. */
export interface Situation {
  readonly view: View;
  readonly step: Step | undefined;
  readonly paused: boolean;
  readonly voters: number;
  /** Voters whose pod is ready. */
  readonly healthy: number;
  readonly members: readonly MemberStatusEntry[];
  readonly deadlinePassed: boolean;
  /** Founded, and no quorum was ever seen ready: its members start for the first time. */
  readonly starting: boolean;
}

type Entry = readonly [ConditionType, ConditionValue];

/**
 * All conditions, in one place. The order of reading for kstatus is Reconciling, Stalled, Ready: a stalled cluster is not
 * reconciling, a cluster at rest is neither, and Ready is there from the first write on.
 */
export function planConditions(situation: Situation): readonly Entry[] {
  const available = availableCondition(situation);
  const stalled = stalledCondition(situation);
  const incomplete = incompleteness(situation);
  const ready = readyCondition(available, stalled, incomplete);
  return [
    ["Ready", ready],
    ["Available", available],
    ["Progressing", progressingCondition(situation, incomplete)],
    ["Degraded", degradedCondition(situation)],
    ["Initialized", initializedCondition(situation)],
    ["Reconciling", reconcilingCondition(situation, stalled, incomplete)],
    ["Stalled", stalled],
  ];
}

const condition = (status: ConditionValue["status"], reason: string, message: string): ConditionValue => ({
  status,
  reason,
  message,
});

function availableCondition({ view, voters, healthy, step, starting }: Situation): ConditionValue {
  if (step?.type === "blocked" && step.invariant === "OneClusterId") {
    return condition("False", "ClusterIDMismatch", step.message);
  }
  if (!view.founded) return condition("False", "Founding", "The cluster is being founded");
  const text = `${healthy} of ${voters} voters are ready`;
  if (voters === 0 || healthy < majority(voters)) return condition("False", starting ? "Starting" : "QuorumLost", text);
  return condition("True", healthy === voters ? "QuorumHealthy" : "QuorumAvailable", text);
}

/** What separates the cluster from its spec; undefined: nothing. */
function incompleteness(situation: Situation): ConditionValue | undefined {
  const { view, step, members, voters } = situation;
  if (situation.paused) return undefined;
  // All pods pass a linearizable read, so there is a leader: that we did not hear of it in this pass is no transition.
  const unheard = step?.type === "wait" && step.reason === "WaitingForLeader";
  if (step !== undefined && !(unheard && situation.healthy > 0)) return condition("True", step.reason, step.message);
  const waiting = members.filter((member) => member.state !== "Ready").map((member) => member.name);
  if (waiting.length > 0) return condition("True", "WaitingForMembers", `Waiting for ${waiting.join(", ")}`);
  if (voters !== view.spec.replicas) {
    return condition("True", "ScalingUp", `${voters} voters, ${view.spec.replicas} are wanted`);
  }
  const outdated = view.members.filter((member) => !isUpdated(view, member)).map((member) => member.name);
  return outdated.length > 0
    ? condition("True", "RollingUpdate", `${outdated.join(", ")} runs an older template`)
    : undefined;
}

function readyCondition(
  available: ConditionValue,
  stalled: ConditionValue,
  incomplete: ConditionValue | undefined,
): ConditionValue {
  if (available.status !== "True") return condition("False", available.reason, available.message);
  if (stalled.status === "True") return condition("False", stalled.reason, stalled.message);
  if (incomplete !== undefined) return condition("False", incomplete.reason, incomplete.message);
  return condition("True", "AsSpecified", available.message);
}

function progressingCondition({ paused }: Situation, incomplete: ConditionValue | undefined): ConditionValue {
  if (paused) return condition("False", "Paused", "The operator changes nothing while the cluster is paused");
  return incomplete ?? condition("False", "AsSpecified", "All members run as specified");
}

function degradedCondition({ view, voters, healthy, starting }: Situation): ConditionValue {
  const designed = view.spec.replicas - majority(view.spec.replicas);
  if (!view.founded) return condition("False", "Founding", "The cluster is being founded");
  const tolerated = healthy - majority(voters);
  const text = `${healthy} of ${voters} voters are ready`;
  if (starting && tolerated < 0) return condition("False", "Starting", text);
  if (voters === 0 || tolerated < 0) return condition("True", "QuorumLost", text);
  if (tolerated >= designed) return condition("False", "FullRedundancy", `${tolerated} more members may fail`);
  return condition(
    "True",
    tolerated === 0 ? "QuorumCritical" : "ReducedRedundancy",
    `${tolerated} more members may fail, ${designed} are designed to`,
  );
}

function initializedCondition({ view }: Situation): ConditionValue {
  return view.founded
    ? condition("True", "Founded", `Cluster ${view.clusterId ?? ""} was founded`)
    : condition("False", "Founding", "The founding members do not all vote yet");
}

function stalledCondition({ view, step, paused, deadlinePassed }: Situation): ConditionValue {
  if (step?.type === "blocked" && step.terminal) return condition("True", step.invariant, step.message);
  if (deadlinePassed && !paused) {
    const seconds = view.spec.progressDeadlineMs / 1000;
    return condition(
      "True",
      "ProgressDeadlineExceeded",
      `No progress for ${seconds} seconds. ${step?.message ?? ""}`.trim(),
    );
  }
  return condition("False", "NotStalled", "");
}

function reconcilingCondition(
  { paused }: Situation,
  stalled: ConditionValue,
  incomplete: ConditionValue | undefined,
): ConditionValue {
  if (paused) return condition("False", "Paused", "");
  if (stalled.status === "True") return condition("False", "Stalled", "");
  return incomplete === undefined
    ? condition("False", "AsSpecified", "")
    : condition("True", incomplete.reason, incomplete.message);
}
