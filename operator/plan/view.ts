import type { MemberStatusEntry } from "../api/v1alpha1/cluster.ts";
import { effectiveSpec, type EffectiveSpec } from "../api/v1alpha1/defaults.ts";
import { ANNOTATION } from "../resources/labels.ts";
import {
  memberName,
  memberSerial,
  peersServiceName,
  podName,
  volumeClaimName,
  volumeClaimSerial,
} from "../resources/names.ts";
import { templateHash } from "../resources/statefulset.ts";
import type { MemberTarget } from "./actions.ts";
import type {
  MemberReport,
  Observed,
  PodFacts,
  ReportedMember,
  StatefulSetFacts,
  VolumeClaimFacts,
} from "./observed.ts";

/** An answer of the admin door that is older than this decides nothing. */
export const REPORT_AGE_MS_MAX = 10_000;

/** The observation, put together member by member. Derived only; no decision is made here. */
export interface View {
  readonly observed: Observed;
  readonly spec: EffectiveSpec;
  /** Hash that the pods should carry. */
  readonly templateHash: string;
  /** Known from status, from a running member, or from the peers Service; undefined only before founding. */
  readonly clusterId: string | undefined;
  /** The leader, when a majority of the voters follows it in its term. */
  readonly leader: ConfirmedLeader | undefined;
  /** All founding members voted once. */
  readonly founded: boolean;
  /** How many members were to found the cluster, once that is fixed. */
  readonly foundingSize: number | undefined;
  /** How many voters there shall be: the founding size until founded, `spec.replicas` from then on. */
  readonly wanted: number;
  /** In the order of their serials. */
  readonly members: readonly MemberView[];
  /** First serial that was never used. */
  readonly nextSerial: number;
}

export interface MemberView {
  readonly serial: number;
  readonly name: string;
  readonly statefulSet: StatefulSetFacts | undefined;
  readonly pod: PodFacts | undefined;
  readonly claim: VolumeClaimFacts | undefined;
  /** Fresh, and of the pod that is there now. */
  readonly report: MemberReport | undefined;
  readonly recorded: MemberStatusEntry | undefined;
  /** Its entry in the configuration of the confirmed leader. */
  readonly configured: ReportedMember | undefined;
}

export interface ConfirmedLeader {
  readonly report: MemberReport;
  readonly target: MemberTarget;
  readonly voters: readonly ReportedMember[];
  readonly learners: readonly ReportedMember[];
}

export const majority = (voters: number): number => Math.floor(voters / 2) + 1;

export function buildView(observed: Observed): View {
  const { cluster, settings } = observed;
  const status = cluster.status;
  const image = status.image ?? imageInTheField(observed.statefulSets) ?? settings.defaultImage;
  const spec = effectiveSpec(cluster.spec, image);
  const reports = freshReports(observed);
  const clusterId = status.clusterID ?? clusterIdInTheField(observed, reports);
  const foundingSize = status.founding?.size ?? foundingSizeInTheField(observed);
  const leader = confirmedLeader(reports, cluster.uid, clusterId);
  const founded = status.bootstrapTime !== undefined || leader?.report.state === "running";
  const serials = knownSerials(observed, leader);
  return {
    observed,
    spec,
    templateHash: templateHash(cluster.spec, spec.image, cluster.annotations[ANNOTATION.restartedAt]),
    clusterId,
    leader,
    founded,
    wanted: founded ? spec.replicas : (foundingSize ?? spec.replicas),
    foundingSize,
    members: serials.members.map((serial) => memberView(observed, reports, leader, serial)),
    nextSerial: Math.max(status.nextMemberSerial ?? 1, ...serials.seen.map((serial) => serial + 1)),
  };
}

/** The id a running member of this very cluster reports, or the copy on the peers Service. */
function clusterIdInTheField(observed: Observed, reports: readonly MemberReport[]): string | undefined {
  const uid = observed.cluster.uid;
  const member = reports.find((report) => report.clusterId !== "" && report.clusterUid === uid);
  return member?.clusterId ?? peersAnnotation(observed, ANNOTATION.clusterId);
}

function foundingSizeInTheField(observed: Observed): number | undefined {
  const size = Number(peersAnnotation(observed, ANNOTATION.foundingSize));
  return Number.isInteger(size) && size > 0 ? size : undefined;
}

/** The peers Service keeps a copy of what must survive the loss of status. */
function peersAnnotation(observed: Observed, annotation: string): string | undefined {
  const service = observed.objects.find(
    (object) =>
      object.kind === "Service" &&
      object.name === peersServiceName(observed.cluster) &&
      object.controllerUid === observed.cluster.uid,
  );
  return service?.annotations[annotation];
}

function freshReports(observed: Observed): readonly MemberReport[] {
  const podUids = new Set(observed.pods.map((pod) => pod.uid));
  return observed.reports.filter((report) => report.ageMs <= REPORT_AGE_MS_MAX && podUids.has(report.podUid));
}

/**
 * A member that says it leads may have been deposed without knowing it. It counts only when a majority of the voters of
 * its own configuration, itself included, names it as leader in the same term.
 */
function confirmedLeader(
  reports: readonly MemberReport[],
  clusterUid: string,
  clusterId: string | undefined,
): ConfirmedLeader | undefined {
  const own = reports.filter((report) => report.clusterUid === clusterUid && report.clusterId === clusterId);
  for (const report of own.filter((candidate) => candidate.role === "leader")) {
    const voters = report.members.filter((member) => !member.learner);
    const following = voters.filter((voter) =>
      own.some((other) => other.id === voter.id && other.leaderId === report.id && other.term === report.term),
    );
    if (clusterId === undefined || following.length < majority(voters.length)) continue;
    return {
      report,
      target: { memberName: report.name, podName: report.podName, podUid: report.podUid },
      voters,
      learners: report.members.filter((member) => member.learner),
    };
  }
  return undefined;
}

/**
 * Serials of the members there are, and of everything that ever used one. A volume claim alone makes no member: it may be
 * the retained volume of one that was removed.
 */
function knownSerials(
  observed: Observed,
  leader: ConfirmedLeader | undefined,
): { readonly members: readonly number[]; readonly seen: readonly number[] } {
  const cluster = observed.cluster;
  const names = [
    ...(cluster.status.members ?? []).map((member) => member.name),
    ...observed.statefulSets.filter((set) => set.controllerUid === cluster.uid).map((set) => set.name),
    ...(leader?.report.members ?? []).map((member) => member.name),
  ];
  const claims = unique(observed.volumeClaims.map((claim) => volumeClaimSerial(cluster, claim.name)));
  const named = unique(names.map((name) => memberSerial(cluster, name)));
  // Status was lost: any volume may be one that the quorum needs. A member that was removed will say so itself.
  const members = cluster.status.members === undefined ? unique([...named, ...claims]) : named;
  return { members, seen: [...members, ...claims] };
}

const unique = (serials: readonly (number | undefined)[]): number[] =>
  [...new Set(serials.filter((serial) => serial !== undefined))].sort((a, b) => a - b);

function memberView(
  observed: Observed,
  reports: readonly MemberReport[],
  leader: ConfirmedLeader | undefined,
  serial: number,
): MemberView {
  const cluster = observed.cluster;
  const name = memberName(cluster, serial);
  const pod = observed.pods.find((candidate) => candidate.name === podName(name));
  return {
    serial,
    name,
    statefulSet: observed.statefulSets.find((set) => set.name === name),
    pod,
    claim: observed.volumeClaims.find((claim) => claim.name === volumeClaimName(cluster, serial)),
    report: reports.find((report) => report.podUid === pod?.uid),
    recorded: cluster.status.members?.find((member) => member.name === name),
    configured: leader?.report.members.find((member) => member.name === name),
  };
}

/** For a cluster whose status was lost: the image one of its members was made with. */
function imageInTheField(sets: readonly StatefulSetFacts[]): string | undefined {
  return sets.find((set) => set.image !== undefined)?.image;
}

/** In the configuration, or recorded to have been. A member that never was may be dropped without asking anybody. */
export const everJoined = (member: MemberView): boolean =>
  member.configured !== undefined || member.recorded?.id !== undefined;

export const isVoter = (member: MemberView): boolean => member.configured?.learner === false;

export const isLeader = (view: View, member: MemberView): boolean =>
  member.configured !== undefined && member.configured.id === view.leader?.report.id;

/** Takes part in Raft as far as both the leader and the member itself can tell. */
export function isHealthy(view: View, member: MemberView): boolean {
  if (member.configured === undefined || member.pod === undefined || member.pod.deleting) return false;
  if (isLeader(view, member)) return true;
  const state = member.report?.state;
  return (
    member.configured.active &&
    (state === undefined || state === "running" || state === "founding") &&
    (member.report === undefined || member.report.id === member.configured.id)
  );
}

/** The pod was made from the wanted template. */
export const isUpdated = (view: View, member: MemberView): boolean =>
  member.pod?.annotations[ANNOTATION.templateHash] === view.templateHash;

export const targetOf = (member: MemberView): MemberTarget => ({
  memberName: member.name,
  podName: podName(member.name),
  podUid: member.pod?.uid ?? "",
});
