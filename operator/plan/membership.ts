import { mayRemove } from "./invariants.ts";
import { act, wait, type Step, type StepReason } from "./step.ts";
import { isHealthy, isLeader, type ConfirmedLeader, type MemberView, type View } from "./view.ts";

/**
 * Takes a member out of the Raft configuration: leadership away first, then the removal, each in a pass of its own. Its
 * StatefulSet and volume follow only when the leader shows a configuration without it (`discard`).
 */
export function removeStep(
  view: View,
  leader: ConfirmedLeader,
  member: MemberView,
  reason: StepReason,
  why: string,
): Step | undefined {
  if (member.configured === undefined) return undefined;
  const refusal = mayRemove(view, leader, member);
  if (refusal !== undefined)
    return { ...refusal, reason, message: `${member.name} stays (${why}). ${refusal.message}` };
  if (isLeader(view, member)) {
    return transferStep(view, leader, reason, `${member.name} is to be removed: ${why}`, () => true);
  }
  return act(reason, `Remove ${member.name} from the configuration: ${why}`, {
    type: "removeMember",
    leader: leader.target,
    memberName: member.name,
    memberId: member.configured.id,
    reason: why,
  });
}

/** Moves leadership to the first healthy, caught-up voter among the preferred ones, or among all. */
export function transferStep(
  view: View,
  leader: ConfirmedLeader,
  reason: StepReason,
  why: string,
  preferred: (member: MemberView) => boolean,
): Step {
  const able = view.members.filter(
    (member) =>
      member.configured?.learner === false &&
      !isLeader(view, member) &&
      isHealthy(view, member) &&
      member.configured.caughtUp,
  );
  const heir = able.find(preferred) ?? able[0];
  if (heir?.configured === undefined) return wait(reason, `No other voter can take the lead yet. ${why}`);
  return act(reason, `Transfer leadership from ${leader.report.name} to ${heir.name}: ${why}`, {
    type: "transferLeadership",
    leader: leader.target,
    toName: heir.name,
    toId: heir.configured.id,
    reason: why,
  });
}
