import type { ConcordClusterStatus, Condition, FoundingStatus, MemberStatusEntry } from "../api/v1alpha1/cluster.ts";
import { selectorLabels } from "../resources/labels.ts";
import { memberName, volumeClaimName } from "../resources/names.ts";
import { compact } from "../resources/object.ts";
import { planConditions, type Situation } from "./conditions.ts";
import { isRemoved } from "./discard.ts";
import { lossOf } from "./replacement.ts";
import type { Step } from "./step.ts";
import { formatTime, parseTime } from "./time.ts";
import { isHealthy, isLeader, isUpdated, majority, type MemberView, type View } from "./view.ts";

/** What the plan decided, as far as status tells it. */
export interface StatusOptions {
  readonly step: Step | undefined;
  readonly paused: boolean;
  /** Serials being created in this pass. */
  readonly created: readonly number[];
  /** Members of which nothing is left. */
  readonly forgotten: ReadonlySet<string>;
}

/** The status the cluster should have. Equal situations give equal values, so that a steady state writes nothing. */
export function planStatus(view: View, options: StatusOptions, now: number): ConcordClusterStatus {
  const previous = view.observed.cluster.status;
  const generation = view.observed.cluster.generation;
  const founding = foundingOf(view, options.step);
  const members = memberEntries(view, options);
  const quorum = quorumOf(view, members);
  const situation: Situation = {
    view,
    step: options.step,
    paused: options.paused,
    voters: quorum.voters,
    healthy: quorum.healthy,
    members,
    starting: isStarting(previous),
    deadlinePassed: (parseTime(previous.progressDeadlineTime ?? "") ?? Infinity) <= now,
  };
  const conditions = dateConditions(planConditions(situation), previous.conditions ?? [], generation, now);
  const ready = conditionOf(conditions, "Ready")?.status === "True";
  const bootstrapTime = previous.bootstrapTime ?? (view.founded ? formatTime(now) : undefined);
  return compact({
    observedGeneration: generation,
    conditions: [...conditions],
    clusterID: options.step?.type === "wait" && options.step.found ? view.observed.proposedClusterId : view.clusterId,
    founding,
    bootstrapTime,
    nextMemberSerial: view.nextSerial + options.created.length,
    replicas: quorum.voters,
    readyReplicas: members.filter((member) => member.state === "Ready").length,
    updatedReplicas: view.members.filter((member) => isUpdated(view, member)).length,
    selector: Object.entries(selectorLabels(view.observed.cluster))
      .map(([label, value]) => `${label}=${value}`)
      .join(","),
    image: view.spec.image,
    leader: members.find((member) => member.role === "Leader")?.name,
    quorum: { ...quorum, required: majority(quorum.voters), faultTolerance: tolerance(quorum) },
    members: [...members],
    progressDeadlineTime: ready ? undefined : deadline(view, previous, conditions, now),
  }) as ConcordClusterStatus;
}

function foundingOf(view: View, step: Step | undefined): FoundingStatus | undefined {
  const chosen = step?.type === "wait" ? step.found : undefined;
  if (chosen === undefined) return view.observed.cluster.status.founding;
  return {
    member: chosen.member,
    memberID: chosen.memberId,
    volumeClaimUID: chosen.volumeClaimUid,
    size: view.wanted,
  };
}

const tolerance = (quorum: { voters: number; healthy: number }): number =>
  Math.max(0, quorum.healthy - majority(quorum.voters));

function memberEntries(view: View, options: StatusOptions): readonly MemberStatusEntry[] {
  const cluster = view.observed.cluster;
  const existing = view.members
    .filter((member) => !options.forgotten.has(member.name))
    .map((member) => memberEntry(view, member, options.step));
  const created = options.created.map((serial): MemberStatusEntry => ({
    name: memberName(cluster, serial),
    role: "None",
    state: "Waiting",
    volumeClaimName: volumeClaimName(cluster, serial),
  }));
  return [...existing, ...created];
}

function memberEntry(view: View, member: MemberView, step: Step | undefined): MemberStatusEntry {
  const { configured, recorded, claim } = member;
  const sameId = configured === undefined || configured.id === recorded?.id;
  return compact({
    name: member.name,
    id: configured?.id ?? recorded?.id,
    role: roleOf(view, member),
    state: stateOf(view, member, step),
    volumeClaimName: volumeClaimName(view.observed.cluster, member.serial),
    volumeClaimUID: sameId ? (recorded?.volumeClaimUID ?? (configured && claim?.uid)) : claim?.uid,
  }) as MemberStatusEntry;
}

/** Without a confirmed leader the last known roles stay: a pass in which the leader was not seen is no transition. */
function roleOf(view: View, member: MemberView): MemberStatusEntry["role"] {
  if (view.leader === undefined) return member.recorded?.role ?? "None";
  if (member.configured === undefined) return "None";
  if (member.configured.learner) return "Learner";
  return isLeader(view, member) ? "Leader" : "Follower";
}

function stateOf(view: View, member: MemberView, step: Step | undefined): MemberStatusEntry["state"] {
  const action = step?.type === "act" ? step.action : undefined;
  if (isRemoved(view, member)) return "Removing";
  if (action?.type === "removeMember" && action.memberName === member.name && step?.reason === "ScalingDown") {
    return "Removing";
  }
  if (lossOf(view, member) !== undefined) return "Replacing";
  if (member.configured === undefined && member.recorded?.id === undefined) return "Waiting";
  if (member.configured?.learner === true) return "CatchingUp";
  if (member.pod?.ready === true && !member.pod.deleting) return "Ready";
  return isHealthy(view, member) ? "CatchingUp" : "Unreachable";
}

/** Health is taken from the kubelet's probes (a linearizable read), so that it does not flicker with our own polling. */
function quorumOf(view: View, members: readonly MemberStatusEntry[]): { voters: number; healthy: number } {
  const voters = members.filter((member) => member.role === "Leader" || member.role === "Follower");
  return {
    voters: view.leader?.voters.length ?? voters.length,
    healthy: voters.filter((member) => member.state === "Ready").length,
  };
}

/** No pass has seen a quorum ready yet: the last word on availability is one of those before the first. */
function isStarting(previous: ConcordClusterStatus): boolean {
  const reason = conditionOf(previous.conditions, "Available")?.reason;
  return reason === "Founding" || reason === "Starting";
}

export const conditionOf = (conditions: readonly Condition[] | undefined, type: string): Condition | undefined =>
  conditions?.find((condition) => condition.type === type);

function dateConditions(
  values: ReturnType<typeof planConditions>,
  previous: readonly Condition[],
  generation: number,
  now: number,
): readonly Condition[] {
  return values.map(([type, value]) => {
    const before = conditionOf(previous, type);
    const lastTransitionTime = before?.status === value.status ? before.lastTransitionTime : formatTime(now);
    return { type, ...value, observedGeneration: generation, lastTransitionTime };
  });
}

/** Every visible step forward, and every edit of the spec, starts the clock anew. */
function deadline(view: View, previous: ConcordClusterStatus, conditions: readonly Condition[], now: number): string {
  const before = conditionOf(previous.conditions, "Progressing");
  const after = conditionOf(conditions, "Progressing");
  const unchanged =
    before?.reason === after?.reason &&
    before?.message === after?.message &&
    previous.observedGeneration === view.observed.cluster.generation;
  return unchanged && previous.progressDeadlineTime !== undefined
    ? previous.progressDeadlineTime
    : formatTime(now + view.spec.progressDeadlineMs);
}
