import { memberSecretName } from "../resources/names.ts";
import type { DecisiveAction } from "./actions.ts";
import { act, wait, type Step, type StepReason } from "./step.ts";
import { everJoined, type MemberView, type View } from "./view.ts";

/**
 * Was a member, and the confirmed leader shows a configuration without it. Where status was lost, the member's own word
 * counts: one that was removed says so, or ends with success over and over.
 */
export function isRemoved(view: View, member: MemberView): boolean {
  if (view.leader === undefined || member.configured !== undefined) return false;
  if (member.recorded?.id !== undefined || member.recorded?.state === "Removing") return true;
  if (member.report?.state === "removed") return true;
  const pod = member.pod;
  return pod?.running === false && pod.waitingReason === "CrashLoopBackOff" && pod.lastTermination?.exitCode === 0;
}

/** Members that count towards the size: everything but what was removed already. */
export const presentMembers = (view: View): readonly MemberView[] =>
  view.members.filter((member) => !isRemoved(view, member));

/**
 * Members that were removed and whose pod still takes a place on a node, or may be made again. A new member waits for
 * them: the scheduler would count the old pod, and put the new one beside another member although a node becomes free.
 * A pod on a node that does not answer is not waited for: no pod is put on such a node, and it may never end.
 */
export const placeHolders = (view: View): readonly MemberView[] =>
  view.members.filter(
    (member) => isRemoved(view, member) && (member.statefulSet !== undefined || member.pod?.overdue === false),
  );

/**
 * Members beyond the wanted number that never joined, youngest first: they hold nothing, so they may simply go. None
 * while a founded cluster shows no leader, because then nobody knows who joined.
 */
export function surplusMembers(view: View): readonly MemberView[] {
  if (view.clusterId !== undefined && view.leader === undefined) return [];
  const surplus = Math.max(0, presentMembers(view).length - view.wanted);
  return presentMembers(view)
    .filter((member) => !everJoined(member) && (member.report?.state ?? "waiting") === "waiting")
    .toReversed()
    .slice(0, surplus);
}

/** Nothing of theirs is made or renewed any more. */
export const discardedMembers = (view: View): readonly MemberView[] => [
  ...view.members.filter((member) => isRemoved(view, member)),
  ...surplusMembers(view),
];

/** Takes surplus members away. */
export function surplusStep(view: View): Step | undefined {
  return firstStep(surplusMembers(view), (member) =>
    discardStep(view, member, { reason: "ScalingDown", why: "it is not needed", deleteVolume: true }),
  );
}

/**
 * Clears up after removed members. The first pass only writes the state Removing into status; things are deleted when a
 * later observation still shows the member outside the configuration.
 */
export function clearRemovedStep(view: View): Step | undefined {
  const removed = view.members.filter((member) => isRemoved(view, member));
  return firstStep(removed, (member) =>
    member.recorded?.state === "Removing"
      ? discardStep(view, member, {
          reason: "RemovingMember",
          why: "it was removed from the configuration",
          deleteVolume: view.spec.storage.whenScaled === "Delete",
        })
      : wait("RemovingMember", `${member.name} is out of the configuration`),
  );
}

/** Discarded members of which nothing is left: they leave status. */
export function forgottenMembers(view: View): ReadonlySet<string> {
  const surplus = new Set(surplusMembers(view));
  const forgotten = discardedMembers(view).filter((member) => {
    const keepVolume = !surplus.has(member) && view.spec.storage.whenScaled === "Retain";
    const { statefulSet, pod, claim } = member;
    return (
      statefulSet === undefined && pod === undefined && (claim === undefined || keepVolume) && !secretOf(view, member)
    );
  });
  return new Set(forgotten.map((member) => member.name));
}

const secretOf = (view: View, member: MemberView) =>
  view.observed.secrets.find((secret) => secret.name === memberSecretName(member.name));

function firstStep(members: readonly MemberView[], stepOf: (member: MemberView) => Step | undefined): Step | undefined {
  for (const member of members) {
    const step = stepOf(member);
    if (step !== undefined) return step;
  }
  return undefined;
}

/**
 * Takes away what a member that is in no configuration left behind, one thing per pass: StatefulSet (with its pod), then
 * the volume if `deleteVolume`, then its certificates. Undefined when nothing is left, or nothing can be done.
 */
function discardStep(
  view: View,
  member: MemberView,
  options: { readonly reason: StepReason; readonly why: string; readonly deleteVolume: boolean },
): Step | undefined {
  const { statefulSet, pod, claim } = member;
  if (statefulSet !== undefined) {
    if (statefulSet.deleting) return wait(options.reason, `Waiting for StatefulSet ${member.name} to go`);
    return deleteObject(options, "apps/v1", "StatefulSet", statefulSet);
  }
  // The rest of the cluster goes on without a pod that may never end; its volume stays until it has.
  if (pod?.overdue === true) return undefined;
  if (pod !== undefined) return wait(options.reason, `Waiting for pod ${pod.name} to end`);
  if (options.deleteVolume && claim !== undefined) {
    if (claim.deleting) return wait(options.reason, `Waiting for volume claim ${claim.name} to go`);
    return deleteObject(options, "v1", "PersistentVolumeClaim", claim);
  }
  const secret = secretOf(view, member);
  return secret === undefined || secret.deleting ? undefined : deleteObject(options, "v1", "Secret", secret);
}

type DeletableKind = Extract<DecisiveAction, { type: "deleteObject" }>["kind"];

function deleteObject(
  options: { readonly reason: StepReason; readonly why: string },
  apiVersion: string,
  kind: DeletableKind,
  object: { readonly name: string; readonly uid: string },
): Step {
  return act(options.reason, `Delete ${kind} ${object.name}: ${options.why}`, {
    type: "deleteObject",
    apiVersion,
    kind,
    name: object.name,
    uid: object.uid,
    reason: options.why,
  });
}
