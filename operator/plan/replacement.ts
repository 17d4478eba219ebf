import { ANNOTATION } from "../resources/labels.ts";
import { removeStep } from "./membership.ts";
import { blocked, type Step } from "./step.ts";
import { isLeader, isVoter, type ConfirmedLeader, type MemberView, type View } from "./view.ts";

/** Exit status with which a member says that its data does not fit, and that trying again does not help. */
const EXIT_REPLACE_ME = 78;

/**
 * Replaces members that can never take part again: the old id leaves the configuration here; `discard.ts` takes the pod
 * away, which frees its node; `scale.ts` then sees one member too few and makes a new one, with a new serial and a new
 * volume. A lost member is never given its old name back.
 */
export function replacementStep(view: View, leader: ConfirmedLeader): Step | undefined {
  const lost = view.members
    .map((member) => ({ member, why: lossOf(view, member) }))
    .filter((entry): entry is { member: MemberView; why: string } => entry.why !== undefined)
    .sort((a, b) => rank(view, a.member) - rank(view, b.member));
  if (lost.length > 0 && !view.spec.memberReplacement.enabled) {
    const text = lost.map(({ member, why }) => `${member.name} (${why})`).join(", ");
    return blocked("Replacing", "ReplacementEnabled", `Members are to be replaced by hand: ${text}`, {
      terminal: false,
    });
  }
  const steps = lost.map(({ member, why }) => removeStep(view, leader, member, "Replacing", why));
  return steps.find((step) => step?.type === "act") ?? steps[0];
}

/** Learners first, the leader last. */
const rank = (view: View, member: MemberView): number => (isLeader(view, member) ? 2 : isVoter(member) ? 1 : 0);

/**
 * Why a member of the configuration cannot take part any more; undefined while it can, or while nobody knows.
 */
export function lossOf(view: View, member: MemberView): string | undefined {
  const { claim, configured, recorded, report } = member;
  if (configured === undefined) return undefined;
  // The id is drawn with the data directory. The same one still waiting is a learner that its leader is about to reach.
  if (report?.state === "waiting" && report.id !== configured.id) return "its data directory is empty";
  if (report?.state === "failed") return "its storage failed";
  if (claim?.deleting === true) return "its volume claim is being deleted";
  const joinedWith = recorded?.id === configured.id ? recorded.volumeClaimUID : undefined;
  if (claim !== undefined && joinedWith !== undefined && claim.uid !== joinedWith) return "its volume was replaced";
  // While the process answers, its volume is there, whatever a cache says.
  if (claim === undefined && report === undefined) return "its volume claim is gone";
  return crashOf(view, member);
}

/** A crash counts against the member only if another one runs from the same template: else the template is to blame. */
function crashOf(view: View, member: MemberView): string | undefined {
  const pod = member.pod;
  const ended = pod?.lastTermination;
  if (pod === undefined || ended === undefined || pod.deleting || pod.ready || pod.running) return undefined;
  const template = pod.annotations[ANNOTATION.templateHash];
  const proven = view.members.some(
    (other) =>
      other !== member && other.pod?.ready === true && other.pod.annotations[ANNOTATION.templateHash] === template,
  );
  if (!proven) return undefined;
  if (ended.exitCode === EXIT_REPLACE_ME) return `it cannot start: ${ended.message || "exit 78"}`;
  const crashes = pod.restartCount >= view.spec.memberReplacement.restartThreshold;
  return crashes && ended.reason !== "OOMKilled" && pod.waitingReason === "CrashLoopBackOff"
    ? `it crashed ${pod.restartCount} times`
    : undefined;
}
