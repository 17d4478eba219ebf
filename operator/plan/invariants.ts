import { clientServiceName } from "../resources/names.ts";
import type { ReportedMember } from "./observed.ts";
import { blocked, type BlockedStep } from "./step.ts";
import { isHealthy, isVoter, majority, type ConfirmedLeader, type MemberView, type View } from "./view.ts";

/**
 * The limits of what the operator may do to a cluster, each with a name. This file answers "may it, and if not, why not";
 * the answer goes into status and Events as it is. Nothing else in `plan` decides about safety.
 */

/** How many more voters of a configuration may fail before it cannot commit: 0 is "critical". */
export const faultTolerance = (voters: number, healthy: number): number => healthy - majority(voters);

/**
 * **KeepQuorum** for a removal. The old configuration must be able to commit the change, and the members that remain must
 * have a healthy majority without the removed one. A learner's removal only has to be committed.
 */
export function mayRemove(view: View, leader: ConfirmedLeader, member: MemberView): BlockedStep | undefined {
  const healthy = healthyVoters(view, leader);
  if (healthy.length < majority(leader.voters.length)) {
    return keepQuorum(`${healthy.length} of ${leader.voters.length} voters are healthy, so no change can be committed`);
  }
  if (!isVoter(member)) return undefined;
  const rest = leader.voters.length - 1;
  if (rest === 0) return keepQuorum(`${member.name} is the only voter`);
  const healthyRest = healthy.filter((voter) => voter.id !== member.configured?.id).length;
  return healthyRest >= majority(rest)
    ? undefined
    : keepQuorum(`without ${member.name} only ${healthyRest} of ${rest} voters would be healthy`);
}

/** **KeepQuorum** for a promotion: with the new voter counted, a healthy majority must be there. */
export function mayPromote(view: View, leader: ConfirmedLeader, learner: MemberView): BlockedStep | undefined {
  const healthy = healthyVoters(view, leader).length + (isHealthy(view, learner) ? 1 : 0);
  const voters = leader.voters.length + 1;
  return healthy >= majority(voters)
    ? undefined
    : keepQuorum(`with ${learner.name} promoted only ${healthy} of ${voters} voters would be healthy`);
}

/** **KeepQuorum** for a new learner: the present voters must be able to commit the change. */
export function mayAddLearner(view: View, leader: ConfirmedLeader): BlockedStep | undefined {
  const healthy = healthyVoters(view, leader).length;
  return healthy >= majority(leader.voters.length)
    ? undefined
    : keepQuorum(`${healthy} of ${leader.voters.length} voters are healthy, so no change can be committed`);
}

/**
 * **OneDownAtATime** for the restart of a member that takes part: all voters are healthy and ready, so it is the only one
 * missing while it restarts. A member that does not take part may restart whenever it wants.
 */
export function mayRestart(view: View, leader: ConfirmedLeader, member: MemberView): BlockedStep | undefined {
  if (isIdle(view, member)) return undefined;
  const down = leader.voters
    .filter((voter) => voter.id !== member.configured?.id)
    .map((voter) => ({ voter, member: memberOf(view, voter) }))
    .filter(({ member: other }) => other === undefined || !isHealthy(view, other) || other.pod?.ready !== true);
  return down.length === 0
    ? undefined
    : blocked(
        "RollingUpdate",
        "OneDownAtATime",
        `${member.name} is not restarted while ${down.map(({ voter }) => voter.name).join(", ")} is not ready`,
        { terminal: false },
      );
}

/**
 * A restart cannot hurt: the member is no voter, or its process does not run. What is in no configuration that a leader
 * shows counts as no voter only if nothing hints that it ever was one.
 */
export function isIdle(view: View, member: MemberView): boolean {
  if (member.pod?.running === false && member.configured?.active !== true) return true;
  if (member.configured !== undefined) return member.configured.learner;
  if (member.recorded?.id !== undefined) return false;
  return view.clusterId === undefined || view.leader !== undefined || member.report?.state === "waiting";
}

/**
 * **FoundOnce**. The grant goes to one data directory, recorded in status before it is sent, and to no other one for
 * ever: the Raft id was drawn when the directory was made, so an emptied or replaced disk shows another.
 */
export function mayGrant(view: View, founder: MemberView): BlockedStep | undefined {
  const founding = view.observed.cluster.status.founding;
  const claim = founder.claim;
  const why =
    founding === undefined
      ? "no founding is recorded in status"
      : view.observed.cluster.status.clusterID !== view.clusterId
        ? "the cluster id is not recorded in status"
        : founder.recorded?.id !== undefined
          ? `${founder.name} was a member already`
          : claim?.uid !== founding.volumeClaimUID
            ? `the volume of ${founder.name} is not the one that was chosen`
            : founder.report?.id !== founding.memberID
              ? `the data directory of ${founder.name} is not the one that was chosen`
              : undefined;
  return why === undefined
    ? undefined
    : blocked("Founding", "FoundOnce", `The cluster is not founded again: ${why}`, { terminal: true });
}

/**
 * **OneClusterId**. A member of this cluster (by UID) that reports another cluster id, or an id under which another
 * Kubernetes object's cluster runs: everything freezes until a person has looked.
 */
export function foreignMember(view: View): BlockedStep | undefined {
  const uid = view.observed.cluster.uid;
  for (const { name, report } of view.members) {
    if (report === undefined) continue;
    const stranger = report.clusterUid !== "" && report.clusterUid !== uid;
    if (stranger || (report.clusterId !== "" && view.clusterId !== undefined && report.clusterId !== view.clusterId)) {
      return blocked(
        "WaitingForMembers",
        "OneClusterId",
        `${name} belongs to cluster ${report.clusterId} of ${report.clusterUid}, wanted ${view.clusterId ?? "none"} of ${uid}`,
        { terminal: true },
      );
    }
  }
  return undefined;
}

/** **OwnObjectsOnly**: an object with one of our names that somebody else made is never taken over. */
export function foreignObject(view: View): BlockedStep | undefined {
  const { cluster, objects, statefulSets, secrets } = view.observed;
  const foreign = [...objects, ...statefulSets, ...secrets].find((object) => object.controllerUid !== cluster.uid);
  return foreign === undefined
    ? undefined
    : blocked(
        "CreatingMembers",
        "OwnObjectsOnly",
        `${foreign.kind} ${foreign.name} exists and does not belong to ConcordCluster ${clientServiceName(cluster)}`,
        { terminal: true },
      );
}

/**
 * Whether so many voters lost their data that the rest is no majority. Nothing but a person (or a backup) can help then:
 * waiting does not, and founding anew would hide the loss.
 */
export function quorumLost(view: View): BlockedStep | undefined {
  const voters = view.members.filter(({ recorded }) => recorded?.role === "Leader" || recorded?.role === "Follower");
  const lost = voters.filter(
    ({ claim, recorded, report }) =>
      report?.state === "waiting" ||
      (report === undefined && claim === undefined) ||
      (claim !== undefined && recorded?.volumeClaimUID !== undefined && claim.uid !== recorded.volumeClaimUID),
  );
  if (voters.length > 0 && voters.length - lost.length < majority(voters.length)) {
    const names = lost.map((member) => member.name).join(", ");
    return blocked("WaitingForLeader", "KeepQuorum", `Quorum is lost for good: ${names} lost their data`, {
      terminal: true,
    });
  }
  const allEmpty = view.members.length > 0 && view.members.every((member) => member.report?.state === "waiting");
  return voters.length === 0 && allEmpty
    ? blocked(
        "Founding",
        "FoundOnce",
        `Cluster ${view.clusterId ?? ""} was founded before, but all members are empty; it is not founded again`,
        { terminal: true },
      )
    : undefined;
}

export const healthyVoters = (view: View, leader: ConfirmedLeader): readonly ReportedMember[] =>
  leader.voters.filter((voter) => {
    const member = memberOf(view, voter);
    // A voter that is none of ours (added by hand) is judged by the leader alone.
    return member === undefined ? voter.active : isHealthy(view, member);
  });

const memberOf = (view: View, voter: ReportedMember): MemberView | undefined =>
  view.members.find((member) => member.configured?.id === voter.id);

const keepQuorum = (why: string): BlockedStep =>
  blocked("WaitingForMembers", "KeepQuorum", `Quorum would be at risk: ${why}`, { terminal: false });
