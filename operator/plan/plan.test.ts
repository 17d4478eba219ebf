import { describe, expect, it } from "vitest";
import {
  CLUSTER,
  CLUSTER_ID,
  NOW,
  claim,
  newCluster,
  pod,
  raftId,
  runningCluster,
  statefulSet,
  waitingReport,
} from "../../test/support/operator-observed.ts";
import type { ConcordClusterSpec, ConcordClusterStatus } from "../api/v1alpha1/cluster.ts";
import { isDecisive, type DecisiveAction } from "./actions.ts";
import type { Observed } from "./observed.ts";
import { plan, type Plan } from "./plan.ts";
import { conditionOf } from "./status.ts";

const decisive = (result: Plan): DecisiveAction | undefined => result.actions.find(isDecisive);
const condition = (status: ConcordClusterStatus, type: string) => {
  const found = conditionOf(status.conditions, type);
  return found && `${found.status} ${found.reason}`;
};
const withStatus = (observed: Observed, status: ConcordClusterStatus): Observed => ({
  ...observed,
  cluster: { ...observed.cluster, status },
});
const withSpec = (observed: Observed, spec: ConcordClusterSpec): Observed => ({
  ...observed,
  cluster: { ...observed.cluster, spec, generation: observed.cluster.generation + 1 },
});

/** Three members that were just made and report empty disks. */
function waitingCluster(): Observed {
  const first = plan(newCluster({ replicas: 3 }), NOW);
  return {
    ...newCluster({ replicas: 3 }, first.status),
    statefulSets: [1, 2, 3].map(statefulSet),
    pods: [1, 2, 3].map((serial) => ({ ...pod(serial, ""), ready: false, labels: {} })),
    volumeClaims: [1, 2, 3].map(claim),
    reports: [1, 2, 3].map(waitingReport),
  };
}

describe("founding", () => {
  it("makes all objects of three members in the first pass, and takes no decision", () => {
    const result = plan(newCluster(), NOW);
    const applied = result.actions.filter((action) => action.type === "apply").map((action) => action.object);
    expect(applied.filter((object) => object.kind === "StatefulSet").map((object) => object.metadata.name)).toEqual([
      "demo-m1",
      "demo-m2",
      "demo-m3",
    ]);
    expect(decisive(result)).toBeUndefined();
    expect(result.status.nextMemberSerial).toBe(4);
    expect(condition(result.status, "Ready")).toBe("False Founding");
    expect(condition(result.status, "Reconciling")).toBe("True CreatingMembers");
  });

  it("writes cluster id, member and data directory into status before it grants anything", () => {
    const chosen = plan(waitingCluster(), NOW);
    expect(decisive(chosen)).toBeUndefined();
    expect(chosen.status.clusterID).toBe(CLUSTER_ID);
    expect(chosen.status.founding).toEqual({
      member: "demo-m1",
      memberID: raftId(1),
      volumeClaimUID: claim(1).uid,
      size: 3,
    });
    const granted = plan(withStatus(waitingCluster(), chosen.status), NOW);
    expect(decisive(granted)).toMatchObject({ type: "grantFounding", clusterId: CLUSTER_ID, size: 3 });
  });

  it("waits until every wanted member has answered", () => {
    const observed = waitingCluster();
    const result = plan({ ...observed, reports: observed.reports.slice(0, 2) }, NOW);
    expect(result.status.clusterID).toBeUndefined();
    expect(condition(result.status, "Progressing")).toBe("True WaitingForPods");
  });

  it.each([
    ["the data directory was emptied", { reports: [{ ...waitingReport(1), id: raftId(99) }] }],
    ["the volume was replaced", { volumeClaims: [{ ...claim(1), uid: "another" }], reports: [waitingReport(1)] }],
    ["the volume is gone", { volumeClaims: [], reports: [] }],
  ])("never founds again when %s", (_, lost) => {
    const chosen = plan(waitingCluster(), NOW);
    const result = plan({ ...withStatus(waitingCluster(), chosen.status), ...lost }, NOW);
    expect(decisive(result)).toBeUndefined();
    expect(result.blocked?.invariant).toBe("FoundOnce");
    expect(condition(result.status, "Stalled")).toBe("True FoundOnce");
    expect(condition(result.status, "Reconciling")).toBe("False Stalled");
  });

  it("does not found when status was lost but the peers Service knows a cluster id", () => {
    const observed = waitingCluster();
    const peers = {
      ...statefulSet(1),
      kind: "Service",
      name: "demo-peers",
      annotations: { "concord.io/cluster-id": "00000000000000bb" },
    };
    const result = plan({ ...observed, objects: [peers] }, NOW);
    expect(decisive(result)).toBeUndefined();
    expect(result.status.clusterID).toBe("00000000000000bb");
    expect(result.blocked?.invariant).toBe("FoundOnce");
  });
});

describe("a cluster at rest", () => {
  const rest = plan(runningCluster({ replicas: 3 }, [1, 2, 3]), NOW).status;

  it("is ready in every way of reading it", () => {
    expect(condition(rest, "Ready")).toBe("True AsSpecified");
    expect(condition(rest, "Available")).toBe("True QuorumHealthy");
    expect(condition(rest, "Degraded")).toBe("False FullRedundancy");
    expect(condition(rest, "Reconciling")).toBe("False AsSpecified");
    expect(condition(rest, "Stalled")).toBe("False NotStalled");
    expect(rest.observedGeneration).toBe(1);
    expect(rest.quorum).toEqual({ voters: 3, healthy: 3, required: 2, faultTolerance: 1 });
    expect(rest.progressDeadlineTime).toBeUndefined();
  });

  it("keeps its status to the byte, an hour later and while nobody answers", () => {
    const observed = withStatus(runningCluster({ replicas: 3 }, [1, 2, 3]), rest);
    expect(plan(observed, NOW + 3_600_000).status).toEqual(rest);
    expect(plan({ ...observed, reports: [] }, NOW).status).toEqual(rest);
  });

  it("writes nothing while it is paused or being deleted", () => {
    const observed = withStatus(runningCluster({ replicas: 5, paused: true }, [1, 2, 3]), rest);
    expect(plan(observed, NOW).actions).toEqual([]);
    expect(condition(plan(observed, NOW).status, "Progressing")).toBe("False Paused");
    const deleted = { ...observed, cluster: { ...observed.cluster, deleting: true } };
    expect(plan(deleted, NOW)).toMatchObject({ actions: [], status: rest });
  });

  it("waits while the caches do not show its own writes", () => {
    const observed = withSpec(runningCluster({ replicas: 3 }, [1, 2, 3]), { replicas: 1 });
    const pending = [{ kind: "Pod", name: "demo-m1-0", waitingFor: "deletion" }];
    expect(plan({ ...observed, pending }, NOW).actions).toEqual([]);
  });

  it("does not change its image when the operator's own changes", () => {
    const observed = runningCluster({ replicas: 3 }, [1, 2, 3]);
    const newer = { ...observed, settings: { ...observed.settings, defaultImage: "concord:2" } };
    expect(plan(newer, NOW).status.image).toBe("concord:1");
    expect(decisive(plan(newer, NOW))).toBeUndefined();
  });
});

describe("a cluster without a ready quorum", () => {
  const unready = { pod: { ready: false } };
  const observed = runningCluster({ replicas: 3 }, [1, 2, 3], { 1: unready, 2: unready, 3: unready });
  const after = (reason: string) => {
    const before = plan(newCluster({ replicas: 3 }), NOW).status.conditions ?? [];
    const conditions = before.map((each) => (each.type === "Available" ? { ...each, reason } : each));
    return plan(withStatus(observed, { ...observed.cluster.status, conditions }), NOW);
  };

  it("is starting as long as none was seen, and warns nobody", () => {
    for (const result of [after("Founding"), after("Starting")]) {
      expect(condition(result.status, "Available")).toBe("False Starting");
      expect(condition(result.status, "Degraded")).toBe("False Starting");
      expect(result.events.filter(({ type }) => type === "Warning")).toEqual([]);
    }
  });

  it("has lost it otherwise", () => {
    const result = after("QuorumHealthy");
    expect(condition(result.status, "Available")).toBe("False QuorumLost");
    expect(condition(result.status, "Degraded")).toBe("True QuorumLost");
    expect(result.events).toContainEqual(expect.objectContaining({ type: "Warning", reason: "QuorumLost" }));
  });
});

describe("safety", () => {
  it("freezes when a member belongs to another cluster", () => {
    const observed = runningCluster({ replicas: 1 }, [1, 2, 3], { 3: { report: { clusterId: "00000000000000cc" } } });
    const result = plan(observed, NOW);
    expect(result.actions).toEqual([]);
    expect(result.blocked?.invariant).toBe("OneClusterId");
    expect(condition(result.status, "Available")).toBe("False ClusterIDMismatch");
  });

  it("takes over nothing that somebody else made", () => {
    const foreign = { ...statefulSet(1), kind: "Service", name: "demo", controllerUid: undefined };
    const result = plan({ ...newCluster(), objects: [foreign] }, NOW);
    expect(result.actions).toEqual([]);
    expect(result.blocked).toMatchObject({ invariant: "OwnObjectsOnly" });
  });

  it("decides nothing on the word of a leader whom no majority follows", () => {
    const alone = { silent: true };
    const observed = runningCluster({ replicas: 1 }, [1, 2, 3], { 2: alone, 3: alone });
    expect(decisive(plan(observed, NOW))).toBeUndefined();
  });

  it("decides nothing on old answers", () => {
    const old = { report: { ageMs: 60_000 } };
    const observed = runningCluster({ replicas: 1 }, [1, 2, 3], { 1: old, 2: old, 3: old });
    expect(decisive(plan(observed, NOW))).toBeUndefined();
  });
});

describe("scaling", () => {
  it("removes from Raft first, and never the leader", () => {
    const result = plan(runningCluster({ replicas: 1 }, [3, 1, 2]), NOW);
    expect(decisive(result)).toMatchObject({ type: "removeMember", memberName: "demo-m2" });
  });

  it("prefers a member that does not take part", () => {
    const down = { inactive: true, silent: true, pod: { ready: false } };
    const result = plan(runningCluster({ replicas: 3 }, [1, 2, 3, 4, 5], { 2: down }), NOW);
    expect(decisive(result)).toMatchObject({ type: "removeMember", memberName: "demo-m2" });
  });

  it("does not shrink into a minority", () => {
    const down = { inactive: true, silent: true, pod: { ready: false } };
    const observed = runningCluster({ replicas: 3 }, [1, 2, 3, 4, 5], { 2: down, 3: down });
    expect(decisive(plan(observed, NOW))).toMatchObject({ memberName: "demo-m3" });
    expect(decisive(plan(runningCluster({ replicas: 1 }, [1, 2], { 2: down }), NOW))).toBeUndefined();
  });

  it("promotes nobody before all learners have caught up", () => {
    const learner = { learner: true, report: { role: "learner" as const } };
    const observed = runningCluster({ replicas: 3 }, [1, 2, 3], { 2: learner, 3: { ...learner, behind: true } });
    expect(decisive(plan(observed, NOW))).toBeUndefined();
    const ready = runningCluster({ replicas: 3 }, [1, 2, 3], { 2: learner, 3: learner });
    expect(decisive(plan(ready, NOW))).toMatchObject({ type: "promote", memberName: "demo-m2" });
  });

  it("deletes StatefulSet and volume only of a member that a later pass still finds removed", () => {
    const observed = runningCluster({ replicas: 2 }, [1, 2]);
    const recorded = runningCluster({ replicas: 2 }, [1, 2, 3]).cluster.status;
    const left = {
      ...withStatus(observed, recorded),
      statefulSets: [...observed.statefulSets, statefulSet(3)],
      volumeClaims: [...observed.volumeClaims, claim(3)],
    };
    const first = plan(left, NOW);
    expect(decisive(first)).toBeUndefined();
    expect(first.status.members?.[2]).toMatchObject({ name: "demo-m3", state: "Removing" });
    const second = plan(withStatus(left, first.status), NOW);
    expect(decisive(second)).toMatchObject({ type: "deleteObject", kind: "StatefulSet", name: "demo-m3" });
    const gone = { ...withStatus(left, first.status), statefulSets: observed.statefulSets };
    expect(decisive(plan(gone, NOW))).toMatchObject({ kind: "PersistentVolumeClaim" });
    const retain = { storage: { retentionPolicy: { whenScaled: "Retain" as const } }, replicas: 2 };
    expect(decisive(plan(withSpec(gone, retain), NOW))).toBeUndefined();
  });
});

describe("replacement", () => {
  it.each([
    ["its directory is empty", { report: { state: "waiting" as const, clusterId: "", id: raftId(77) } }],
    ["its volume is another one", { claim: { uid: "another" } }],
    ["its volume is gone", { claim: undefined, silent: true, inactive: true }],
    ["its volume is going", { claim: { deleting: true } }],
    ["its storage failed", { report: { state: "failed" as const } }],
    [
      "it refuses to start",
      {
        silent: true,
        inactive: true,
        pod: {
          ready: false,
          running: false,
          lastTermination: { exitCode: 78, reason: "Error", code: "", message: "this member lost its data" },
        },
      },
    ],
  ])("removes a member when %s", (_, overrides) => {
    const result = plan(runningCluster({ replicas: 3 }, [1, 2, 3], { 2: overrides }), NOW);
    expect(decisive(result)).toMatchObject({ type: "removeMember", memberName: "demo-m2", memberId: raftId(2) });
    expect(result.status.members?.[1]?.state).toBe("Replacing");
    const claims = result.actions.filter(
      (action) => action.type === "apply" && action.object.kind === "PersistentVolumeClaim" && action.uid === undefined,
    );
    expect(claims).toEqual([]);
  });

  it("keeps a member that is about to lose its volume while the quorum needs it", () => {
    const down = { inactive: true, silent: true, pod: { ready: false } };
    const going = { claim: { deleting: true } };
    const result = plan(runningCluster({ replicas: 3 }, [1, 2, 3], { 2: going, 3: down }), NOW);
    expect(decisive(result)).toBeUndefined();
    expect(result.blocked?.invariant).toBe("KeepQuorum");
    expect(result.status.quorum).toMatchObject({ healthy: 1 });
  });

  it("hands leadership over before it removes the leader", () => {
    const result = plan(runningCluster({ replicas: 3 }, [1, 2, 3], { 1: { claim: { deleting: true } } }), NOW);
    expect(decisive(result)).toMatchObject({ type: "transferLeadership", toName: "demo-m2" });
  });

  it("makes the new member with a new serial and a new volume", () => {
    const observed = runningCluster({ replicas: 3 }, [1, 3]);
    const result = plan(observed, NOW);
    const made = result.actions.filter((action) => action.type === "apply" && action.uid === undefined);
    expect(made.map((action) => action.type === "apply" && action.object.metadata.name)).toEqual(
      expect.arrayContaining(["demo-m4", "data-demo-0a1b2-m4"]),
    );
    expect(result.status.nextMemberSerial).toBe(5);
  });

  describe("of a member that has left the configuration", () => {
    const recorded = runningCluster({ replicas: 3 }, [1, 2, 3]).cluster.status;
    const rest = runningCluster({ replicas: 3 }, [1, 2]);
    const lost = (change: Partial<Observed>): Observed => ({
      ...withStatus(rest, recorded),
      statefulSets: [...rest.statefulSets, statefulSet(3)],
      pods: [...rest.pods, { ...pod(3, ""), ready: false }],
      volumeClaims: [...rest.volumeClaims, claim(3)],
      ...change,
    });
    const gone = (overdue: boolean): Partial<Observed> => ({
      statefulSets: rest.statefulSets,
      pods: [...rest.pods, { ...pod(3, ""), deleting: true, overdue }],
    });
    /** The plan of the pass after the one that wrote the state Removing. */
    const planAgain = (observed: Observed): Plan => plan(withStatus(observed, plan(observed, NOW).status), NOW);
    const made = (result: Plan): readonly string[] =>
      result.actions.flatMap((action) =>
        action.type === "apply" && action.object.kind === "StatefulSet" && action.uid === undefined
          ? [action.object.metadata.name]
          : [],
      );

    it("takes its pod away before it makes the new one, which may then have its node", () => {
      const first = plan(lost({}), NOW);
      expect(first.status.members?.[2]).toMatchObject({ name: "demo-m3", state: "Removing" });
      expect([made(first), decisive(first)]).toEqual([[], undefined]);
      const second = planAgain(lost({}));
      expect(made(second)).toEqual([]);
      expect(decisive(second)).toMatchObject({ type: "deleteObject", kind: "StatefulSet", name: "demo-m3" });
      const third = planAgain(lost(gone(false)));
      expect([made(third), decisive(third)]).toEqual([[], undefined]);
      expect(condition(third.status, "Progressing")).toBe("True RemovingMember");
      const fourth = planAgain(lost({ statefulSets: rest.statefulSets, pods: rest.pods }));
      expect(made(fourth)).toEqual(["demo-m4"]);
    });

    it("does not wait for a pod on a node that is lost, and leaves its volume alone", () => {
      const made4 = planAgain(lost(gone(true)));
      expect([made(made4), decisive(made4)]).toEqual([["demo-m4"], undefined]);
      const waiting = {
        ...lost(gone(true)),
        statefulSets: [...rest.statefulSets, statefulSet(4)],
        pods: [...(gone(true).pods ?? []), pod(4, "")],
        volumeClaims: [...rest.volumeClaims, claim(3), claim(4)],
        reports: [...rest.reports, waitingReport(4)],
      };
      expect(decisive(planAgain(waiting))).toMatchObject({ type: "addLearner", memberName: "demo-m4" });
    });
  });

  it("leaves a crash that every member could have to the template", () => {
    const crashed = {
      silent: true,
      inactive: true,
      pod: {
        ready: false,
        running: false,
        annotations: { "concord.io/template-hash": "new" },
        restartCount: 20,
        waitingReason: "CrashLoopBackOff",
        lastTermination: { exitCode: 78, reason: "Error", code: "", message: "" },
      },
    };
    expect(decisive(plan(runningCluster({ replicas: 3 }, [1, 2, 3], { 2: crashed }), NOW))?.type).not.toBe(
      "removeMember",
    );
  });

  it("says so when the quorum is lost for good, and founds nothing", () => {
    const lost = { report: { state: "waiting" as const, clusterId: "", id: raftId(9), leaderId: "" } };
    const observed = runningCluster({ replicas: 3 }, [1, 2, 3], { 1: lost, 2: lost });
    const result = plan(observed, NOW);
    expect(decisive(result)).toBeUndefined();
    expect(condition(result.status, "Stalled")).toBe("True KeepQuorum");
  });
});

describe("a rollout", () => {
  const changed = (observed: Observed): Observed =>
    withSpec(observed, { replicas: 3, resources: { requests: { cpu: "2" } } });

  it("gives the new template to one follower first", () => {
    const result = plan(changed(runningCluster({ replicas: 3 }, [1, 2, 3])), NOW);
    expect(decisive(result)).toBeUndefined();
    const sets = result.actions.filter((action) => action.type === "apply" && action.object.kind === "StatefulSet");
    expect(sets.map((action) => action.type === "apply" && action.object.metadata.name)).toEqual(["demo-m2"]);
  });

  it("waits with the next one until all are ready", () => {
    const result = plan(changed(runningCluster({ replicas: 3 }, [1, 2, 3], { 3: { pod: { ready: false } } })), NOW);
    expect(decisive(result)).toBeUndefined();
    expect(result.actions.some((action) => action.type === "apply" && action.object.kind === "StatefulSet")).toBe(
      false,
    );
    expect(condition(result.status, "Progressing")).toBe("True RollingUpdate");
  });

  it("restarts the leader last, after a transfer", () => {
    const observed = changed(runningCluster({ replicas: 3 }, [1, 2, 3]));
    const wanted = changed(runningCluster({ replicas: 3, resources: { requests: { cpu: "2" } } }, [1, 2, 3]));
    const half = {
      ...observed,
      statefulSets: [observed.statefulSets[0]!, ...wanted.statefulSets.slice(1)],
      pods: [observed.pods[0]!, ...wanted.pods.slice(1)],
    };
    expect(decisive(plan(half, NOW))).toMatchObject({ type: "transferLeadership", toName: "demo-m2" });
  });

  it("restarts at once what takes no part anyway", () => {
    const stuck = {
      silent: true,
      inactive: true,
      pod: { ready: false, running: false, waitingReason: "ImagePullBackOff" },
    };
    const observed = changed(runningCluster({ replicas: 3 }, [1, 2, 3], { 2: stuck }));
    const wanted = runningCluster({ replicas: 3, resources: { requests: { cpu: "2" } } }, [1, 2, 3]);
    const updated = { ...observed, statefulSets: [...wanted.statefulSets] };
    expect(decisive(plan(updated, NOW))).toMatchObject({ type: "deletePod", podName: "demo-m2-0" });
  });
});

it("says that it is stuck when nothing moved for the progress deadline", () => {
  const first = plan(newCluster(), NOW);
  const later = plan(newCluster({}, first.status), NOW + 700_000);
  expect(condition(later.status, "Stalled")).toBe("True ProgressDeadlineExceeded");
  expect(later.events).toContainEqual(expect.objectContaining({ type: "Warning", reason: "ProgressDeadlineExceeded" }));
  expect(CLUSTER.name).toBe("demo");
});
