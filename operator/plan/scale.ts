import { memberName, peerUrl } from "../resources/names.ts";
import { mayAddLearner, mayPromote } from "./invariants.ts";
import { placeHolders, presentMembers } from "./discard.ts";
import { removeStep } from "./membership.ts";
import { act, wait, type Step } from "./step.ts";
import { isHealthy, isLeader, isVoter, type ConfirmedLeader, type MemberView, type View } from "./view.ts";

/**
 * Serials to make, so that as many members exist as are wanted. None while a founded cluster shows no leader: without its
 * configuration nobody can tell whether one is missing. None while a removed member still takes a place on a node.
 */
export function missingSerials(view: View): readonly number[] {
  if (view.clusterId !== undefined && view.leader === undefined) return [];
  if (placeHolders(view).length > 0) return [];
  const missing = view.wanted - presentMembers(view).length;
  return Array.from({ length: Math.max(0, missing) }, (_, index) => view.nextSerial + index);
}

export function createStep(view: View): Step | undefined {
  const serials = missingSerials(view);
  if (serials.length === 0) return undefined;
  const names = serials.map((serial) => memberName(view.observed.cluster, serial));
  return wait("CreatingMembers", `Creating ${names.join(", ")}`);
}

/**
 * Scaling down: learners, then voters that do not take part, then others, youngest first. The leader is never chosen, so
 * no election is needed.
 */
export function scaleDownStep(view: View, leader: ConfirmedLeader): Step | undefined {
  const configured = view.members.filter((member) => member.configured !== undefined);
  if (configured.length <= view.wanted) return undefined;
  const victim = configured
    .filter((member) => !isLeader(view, member))
    .sort((a, b) => rank(view, a) - rank(view, b) || b.serial - a.serial)[0];
  return victim && removeStep(view, leader, victim, "ScalingDown", `${view.wanted} members are wanted`);
}

const rank = (view: View, member: MemberView): number => (isVoter(member) ? (isHealthy(view, member) ? 2 : 1) : 0);

/** Scaling up: every newcomer becomes a learner, and the first promotion waits until all of them have caught up. */
export function scaleUpStep(view: View, leader: ConfirmedLeader): Step | undefined {
  const reason = view.founded ? "ScalingUp" : "Founding";
  const newcomers = presentMembers(view).filter((member) => member.configured === undefined);
  const joinable = newcomers.find((member) => canJoin(view, member));
  if (joinable !== undefined) {
    return (
      mayAddLearner(view, leader) ??
      act(reason, `Add ${joinable.name} as learner`, {
        type: "addLearner",
        leader: leader.target,
        memberName: joinable.name,
        peerUrls: [peerUrl(view.observed.cluster, joinable.name)],
      })
    );
  }
  if (newcomers.length > 0) return wait("WaitingForPods", `Waiting for ${names(newcomers)} to start`);
  return promoteStep(view, leader);
}

/** Empty, under its own name, and on a volume that stays. */
function canJoin(view: View, member: MemberView): boolean {
  return (
    member.report?.state === "waiting" &&
    member.report.name === member.name &&
    member.recorded?.id === undefined &&
    member.pod?.deleting === false &&
    member.claim !== undefined &&
    !member.claim.deleting &&
    view.clusterId !== undefined
  );
}

function promoteStep(view: View, leader: ConfirmedLeader): Step | undefined {
  const learners = view.members.filter((member) => member.configured?.learner === true);
  const first = learners[0];
  if (first?.configured === undefined) return undefined;
  const behind = learners.filter((member) => member.configured?.caughtUp !== true || !isHealthy(view, member));
  if (behind.length > 0) return wait("WaitingForLearner", `Waiting for ${names(behind)} to catch up`);
  return (
    mayPromote(view, leader, first) ??
    act(view.founded ? "ScalingUp" : "Founding", `Promote ${first.name} to voter`, {
      type: "promote",
      leader: leader.target,
      memberName: first.name,
      memberId: first.configured.id,
    })
  );
}

const names = (members: readonly MemberView[]): string => members.map((member) => member.name).join(", ");
