import { ANNOTATION } from "../resources/labels.ts";
import { podName } from "../resources/names.ts";
import { isIdle, mayRestart } from "./invariants.ts";
import { transferStep } from "./membership.ts";
import { act, wait, type Step } from "./step.ts";
import {
  everJoined,
  isHealthy,
  isLeader,
  isUpdated,
  isVoter,
  type ConfirmedLeader,
  type MemberView,
  type View,
} from "./view.ts";

const hasNewTemplate = (view: View, member: MemberView): boolean =>
  member.statefulSet?.templateHash === view.templateHash;

/** Reasons for which a container does not start and never will without another template. */
const STUCK_REASONS: ReadonlySet<string> = new Set([
  "Unschedulable",
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError",
]);

/**
 * Whether the StatefulSet of a member may get the wanted template now: new ones, those that have it already, the one
 * whose turn it is, and those that a restart cannot hurt. All others keep the old template, so that a pod that dies in
 * the middle of a bad rollout comes back from a template that is known to work.
 */
export function mayHaveNewTemplate(view: View, member: MemberView, turn: string | undefined): boolean {
  if (member.statefulSet === undefined || hasNewTemplate(view, member) || member.name === turn) return true;
  if (member.configured?.learner === true || !everJoined(member)) return true;
  if (member.pod !== undefined && !isIdle(view, member)) return false;
  if (STUCK_REASONS.has(member.pod?.waitingReason ?? "")) return true;
  const others = view.members.filter((other) => other !== member && everJoined(other));
  const worksElsewhere = others.some(
    (other) => other.pod?.running === true && templateOf(other) === member.statefulSet?.templateHash,
  );
  return !worksElsewhere || others.every((other) => isHealthy(view, other) && other.pod?.ready === true);
}

const templateOf = (member: MemberView): string | undefined => member.pod?.annotations[ANNOTATION.templateHash];

/**
 * Pods that take no part, and were made from an old template or hold on to a volume that is being deleted: a restart can
 * only help. Works without a leader.
 */
export function restartIdleStep(view: View): Step | undefined {
  const holder = view.members.find(
    ({ claim, pod, recorded, configured }) =>
      claim?.deleting === true &&
      pod?.deleting === false &&
      pod.nodeName !== undefined &&
      recorded?.id === undefined &&
      configured === undefined,
  );
  if (holder !== undefined && isIdle(view, holder)) return restart(holder, "its volume claim is being deleted");
  const member = view.members.find(
    (candidate) =>
      candidate.pod?.deleting === false &&
      !isUpdated(view, candidate) &&
      isIdle(view, candidate) &&
      hasNewTemplate(view, candidate) &&
      candidate.statefulSet?.settled === true,
  );
  return member && restart(member, "it takes no part and its template changed");
}

/**
 * A changed template reaches the voters one by one: followers first, the leader last and only after it handed over. The
 * next one waits until all are ready again, so a template that does not work stops at its first victim.
 */
export function rolloutStep(view: View, leader: ConfirmedLeader): Step | undefined {
  const outdated = view.members.filter((member) => isVoter(member) && member.pod && !isUpdated(view, member));
  const started = outdated.find((member) => hasNewTemplate(view, member));
  const follower = outdated.find((member) => !isLeader(view, member));
  const member = started !== undefined && !isLeader(view, started) ? started : (follower ?? started ?? outdated[0]);
  if (member === undefined) return undefined;
  if (member.pod?.deleting === true) return wait("RollingUpdate", `Waiting for ${member.name} to restart`);
  const refusal = mayRestart(view, leader, member);
  if (refusal !== undefined) return wait("RollingUpdate", refusal.message);
  if (isLeader(view, member) && leader.voters.length > 1) {
    return transferStep(view, leader, "RollingUpdate", "its template changed", (heir) => isUpdated(view, heir));
  }
  if (!hasNewTemplate(view, member)) {
    return { ...wait("RollingUpdate", `Updating ${member.name}`), updateMember: member.name };
  }
  if (member.statefulSet?.settled !== true) return wait("RollingUpdate", `Updating ${member.name}`);
  return restart(member, "its template changed");
}

function restart(member: MemberView, why: string): Step {
  return act("RollingUpdate", `Restart ${member.name}: ${why}`, {
    type: "deletePod",
    podName: podName(member.name),
    podUid: member.pod?.uid ?? "",
    reason: why,
  });
}
