import type { ConcordClusterSpec, ConcordClusterStatus } from "../../operator/api/v1alpha1/cluster.ts";
import type {
  MemberReport,
  Observed,
  PodFacts,
  StatefulSetFacts,
  VolumeClaimFacts,
} from "../../operator/plan/observed.ts";
import { buildView } from "../../operator/plan/view.ts";
import { ANNOTATION } from "../../operator/resources/labels.ts";
import { memberName, podName, volumeClaimName } from "../../operator/resources/names.ts";

export const CLUSTER = { name: "demo", namespace: "default", uid: "0a1b2c3d-demo" } as const;
export const CLUSTER_ID = "00000000000000aa";
export const NOW = 1_800_000_000_000;

/** A cluster the operator sees for the first time. */
export function newCluster(spec: ConcordClusterSpec = {}, status: ConcordClusterStatus = {}): Observed {
  return {
    cluster: {
      ...CLUSTER,
      generation: 1,
      resourceVersion: "1",
      deleting: false,
      annotations: {},
      spec,
      status: { observedGeneration: -1, ...status },
    },
    settings: { defaultImage: "concord:1", clusterDomain: "cluster.local" },
    objects: [],
    statefulSets: [],
    pods: [],
    volumeClaims: [],
    secrets: [],
    reports: [],
    pending: [],
    proposedClusterId: CLUSTER_ID,
  };
}

export const raftId = (serial: number): string => serial.toString(16).padStart(16, "0");

const object = (kind: string, name: string) => ({
  kind,
  name,
  uid: `${kind}-${name}`,
  resourceVersion: "1",
  deleting: false,
  labels: {},
  annotations: {},
  controllerUid: CLUSTER.uid,
  lastApplied: undefined,
});

/** What one member looks like; a test overrides what it is about. */
export interface MemberOverrides {
  readonly pod?: Partial<PodFacts>;
  readonly claim?: Partial<VolumeClaimFacts> | undefined;
  readonly report?: Partial<MemberReport>;
  readonly silent?: boolean;
  readonly inactive?: boolean;
  readonly behind?: boolean;
  readonly learner?: boolean;
}

/** A founded cluster at rest: member 1 leads, all pods are ready and run the wanted template. */
export function runningCluster(
  spec: ConcordClusterSpec,
  serials: readonly number[],
  overrides: Readonly<Record<number, MemberOverrides>> = {},
): Observed {
  const base = newCluster(spec, {
    clusterID: CLUSTER_ID,
    bootstrapTime: "2026-01-01T00:00:00Z",
    nextMemberSerial: Math.max(...serials) + 1,
    image: "concord:1",
    members: serials.map((serial) => ({
      name: memberName(CLUSTER, serial),
      id: raftId(serial),
      role: overrides[serial]?.learner === true ? "Learner" : serial === serials[0] ? "Leader" : "Follower",
      state: "Ready",
      volumeClaimName: volumeClaimName(CLUSTER, serial),
      volumeClaimUID: `PersistentVolumeClaim-${volumeClaimName(CLUSTER, serial)}`,
    })),
  });
  const { templateHash } = buildView(base);
  const members = serials.map((serial) => ({
    id: raftId(serial),
    name: memberName(CLUSTER, serial),
    peerUrls: [],
    learner: overrides[serial]?.learner === true,
    active: overrides[serial]?.inactive !== true,
    caughtUp: overrides[serial]?.behind !== true,
  }));
  return {
    ...base,
    statefulSets: serials.map((serial) => ({ ...statefulSet(serial), templateHash })),
    pods: serials.map((serial) => ({ ...pod(serial, templateHash), ...overrides[serial]?.pod })),
    volumeClaims: serials
      .filter((serial) => !(overrides[serial] && "claim" in overrides[serial] && overrides[serial].claim === undefined))
      .map((serial) => ({ ...claim(serial), ...overrides[serial]?.claim })),
    reports: serials
      .filter((serial) => overrides[serial]?.silent !== true)
      .map((serial) => ({ ...report(serial, serials[0] ?? 0, members), ...overrides[serial]?.report })),
  };
}

export function statefulSet(serial: number): StatefulSetFacts {
  return {
    ...object("StatefulSet", memberName(CLUSTER, serial)),
    templateHash: undefined,
    image: "concord:1",
    settled: true,
  };
}

export function pod(serial: number, templateHash: string): PodFacts {
  const name = podName(memberName(CLUSTER, serial));
  return {
    name,
    uid: `Pod-${name}`,
    resourceVersion: "1",
    deleting: false,
    overdue: false,
    labels: { "concord.io/serving": "true" },
    annotations: { [ANNOTATION.templateHash]: templateHash },
    controllerUid: `StatefulSet-${memberName(CLUSTER, serial)}`,
    ready: true,
    running: true,
    nodeName: "node",
    restartCount: 0,
    lastTermination: undefined,
    waitingReason: undefined,
  };
}

export function claim(serial: number): VolumeClaimFacts {
  return {
    ...object("PersistentVolumeClaim", volumeClaimName(CLUSTER, serial)),
    phase: "Bound",
    requestedSize: "1Gi",
    storageClassName: undefined,
  };
}

function report(serial: number, leader: number, members: MemberReport["members"]): MemberReport {
  const name = memberName(CLUSTER, serial);
  return {
    podName: podName(name),
    podUid: `Pod-${podName(name)}`,
    ageMs: 100,
    state: "running",
    id: raftId(serial),
    name,
    clusterId: CLUSTER_ID,
    clusterUid: CLUSTER.uid,
    role: serial === leader ? "leader" : "follower",
    leaderId: raftId(leader),
    term: 5,
    members,
  };
}

/** A member on an empty disk that waits to be told what to do. */
export function waitingReport(serial: number): MemberReport {
  return { ...report(serial, 0, []), state: "waiting", clusterId: "", role: "follower", leaderId: "", term: 0 };
}
