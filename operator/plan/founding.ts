import { volumeClaimName } from "../resources/names.ts";
import { mayGrant } from "./invariants.ts";
import { act, blocked, wait, type Step } from "./step.ts";
import { targetOf, type MemberView, type View } from "./view.ts";

/**
 * The first life of a cluster, in passes that each survive a crash of the operator:
 *
 * 1. all wanted members exist and report an empty disk;
 * 2. one of them, its volume, its data directory and a fresh cluster id go into status;
 * 3. exactly this member gets the grant, as often as it takes until it reports the cluster;
 * 4. the others join it as learners and are promoted (`scale.ts`), until the founding size votes.
 *
 * From step 2 on there is no way back to step 1, whatever is lost.
 */
export function foundingStep(view: View): Step | undefined {
  if (view.leader !== undefined) return undefined;
  if (view.clusterId === undefined) return chooseFounder(view);
  const founding = view.observed.cluster.status.founding;
  const founder = view.members.find((member) => member.name === founding?.member);
  const joined = view.members.some((member) => member.recorded?.id !== undefined);
  if (view.founded || joined || founding === undefined || founder === undefined) return undefined;
  return grant(view, founder, founding.size);
}

function chooseFounder(view: View): Step | undefined {
  const uid = view.observed.cluster.uid;
  const notReady = view.members.filter((member) => !isEmpty(member, uid));
  if (view.members.length !== view.wanted) return wait("CreatingMembers", "Waiting for the members to be made");
  if (notReady.length > 0) {
    return wait("WaitingForPods", `Waiting for ${names(notReady)} to start with an empty volume`);
  }
  const founder = view.members[0];
  if (founder?.report === undefined || founder.claim === undefined) return undefined;
  return {
    ...wait("Founding", `${founder.name} is chosen to found the cluster`),
    found: { member: founder.name, memberId: founder.report.id, volumeClaimUid: founder.claim.uid },
  };
}

/** Runs, says so itself, and has never been a member of anything. */
const isEmpty = (member: MemberView, clusterUid: string): boolean =>
  member.report?.state === "waiting" &&
  member.report.name === member.name &&
  (member.report.clusterUid === "" || member.report.clusterUid === clusterUid) &&
  member.recorded?.id === undefined &&
  member.claim !== undefined &&
  !member.claim.deleting &&
  member.pod?.deleting === false;

function grant(view: View, founder: MemberView, size: number): Step {
  const founding = view.observed.cluster.status.founding;
  const lost = founder.claim !== undefined && founder.claim.uid !== founding?.volumeClaimUID;
  if (lost || founder.claim === undefined) {
    const refusal = mayGrant(view, founder);
    return refusal ?? blocked("Founding", "FoundOnce", `The volume of ${founder.name} is gone`, { terminal: true });
  }
  if (founder.report === undefined) return wait("Founding", `Waiting for ${founder.name} to answer`);
  if (founder.report.state !== "waiting") return wait("Founding", `Waiting for ${founder.name} to lead`);
  return (
    mayGrant(view, founder) ??
    act("Founding", `Found the cluster with ${founder.name}`, {
      type: "grantFounding",
      target: targetOf(founder),
      clusterId: view.clusterId ?? "",
      clusterUid: view.observed.cluster.uid,
      size,
      volumeClaimName: volumeClaimName(view.observed.cluster, founder.serial),
      volumeClaimUid: founder.claim.uid,
    })
  );
}

const names = (members: readonly MemberView[]): string => members.map((member) => member.name).join(", ");
