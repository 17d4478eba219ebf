import { describe, expect, test } from "vitest";
import { Cluster, ELECTION_TIMEOUT } from "../cluster.ts";
import { encode, Member, waitingDisk } from "../member.ts";

// Raft paper, section 6: cluster membership changes; in the single-step form of the thesis, section 4.
const IDS = ["1", "2", "3"];
const OPTIONS = { electionTimeoutTicks: ELECTION_TIMEOUT, heartbeatTicks: 2 };

function clusterWithLeader(): Cluster {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  return cluster;
}

function change(cluster: Cluster, type: "addLearner" | "promote" | "remove", member: string): unknown {
  const result = cluster.member("1").core.proposeChange({ type, member }, encode(member));
  return result.ok ? "ok" : result.reason;
}

function run(cluster: Cluster, ticks: number): void {
  for (let i = 0; i < ticks; i += 1) {
    for (const member of cluster.members.values()) member.core.step({ type: "tick" });
    cluster.settle();
  }
}

test("a new member catches up without a vote, and is promoted when it has kept up for an election timeout", () => {
  const cluster = clusterWithLeader();
  cluster.propose("1", "a");
  cluster.members.set("4", new Member("4", waitingDisk(), () => 0, OPTIONS));
  expect(change(cluster, "addLearner", "4")).toBe("ok");
  cluster.settle();
  expect(change(cluster, "promote", "4")).toBe("learnerBehind");
  run(cluster, ELECTION_TIMEOUT + 2);
  expect(cluster.member("4").texts).toEqual(["a"]);
  expect(change(cluster, "promote", "4")).toBe("ok");
  cluster.settle();
  for (const id of [...IDS, "4"])
    expect(cluster.status(id).configuration).toEqual({ voters: [...IDS, "4"], learners: [] });
});

test("a learner is in no majority", () => {
  const cluster = clusterWithLeader();
  cluster.members.set("4", new Member("4", waitingDisk(), () => 0, OPTIONS));
  change(cluster, "addLearner", "4");
  cluster.settle();
  cluster.isolated.add("2").add("3");
  const { commit } = cluster.status("1");
  cluster.propose("1", "x");
  cluster.settle();
  expect(cluster.status("4").lastIndex).toBe(commit + 1);
  expect(cluster.status("1").commit).toBe(commit);
});

test("a configuration takes effect when it is applied, and only one may be under way", () => {
  const cluster = clusterWithLeader();
  cluster.isolated.add("2").add("3");
  expect(change(cluster, "remove", "3")).toBe("ok");
  cluster.settle();
  expect(cluster.status("1")).toMatchObject({ configurationPending: true, configuration: { voters: IDS } });
  expect(change(cluster, "remove", "2")).toBe("configurationPending");
  cluster.isolated.clear();
  run(cluster, 2);
  expect(cluster.status("1")).toMatchObject({ configurationPending: false, configuration: { voters: ["1", "2"] } });
});

test("no change before the leader has committed in its own term (Ongaro, 2015)", () => {
  const cluster = clusterWithLeader();
  cluster.isolated.add("2").add("3");
  cluster.member("1").core.step({ type: "tick" });
  cluster.isolated.clear();
  // The second leader is elected, and its first entry is not committed yet.
  cluster.member("2").core.step({ type: "message", from: "1", message: { type: "timeoutNow", term: 1 } });
  for (const { to, message } of cluster.sent("2")) cluster.receive("2", to, message);
  for (const { message } of cluster.sent("3")) cluster.receive("3", "2", message);
  expect(cluster.status("2")).toMatchObject({ role: "leader", committedInTerm: false });
  const result = cluster.member("2").core.proposeChange({ type: "remove", member: "3" }, encode("3"));
  expect(result).toEqual({ ok: false, reason: "notCommittedInTerm" });
});

describe("removal", () => {
  test("a removed leader steps down when its removal is applied, and never campaigns again", () => {
    const cluster = clusterWithLeader();
    expect(change(cluster, "remove", "1")).toBe("ok");
    expect(cluster.status("1").role).toBe("leader");
    cluster.settle();
    expect(cluster.status("1")).toMatchObject({ role: "follower", configuration: { voters: ["2", "3"] } });
    cluster.tick("1", 5 * ELECTION_TIMEOUT);
    expect(cluster.status("1")).toMatchObject({ role: "follower", term: 1 });
  });

  test("a removed member that does not know it disturbs nobody", () => {
    const cluster = clusterWithLeader();
    cluster.isolated.add("3");
    change(cluster, "remove", "3");
    cluster.settle();
    cluster.isolated.clear();
    run(cluster, 5 * ELECTION_TIMEOUT);
    for (const id of ["1", "2"]) expect(cluster.status(id)).toMatchObject({ term: 1, leader: "1" });
  });

  test("is refused when the rest would have no live majority", () => {
    const cluster = clusterWithLeader();
    cluster.isolated.add("3");
    run(cluster, ELECTION_TIMEOUT);
    expect(change(cluster, "remove", "2")).toBe("wouldLoseQuorum");
    expect(change(cluster, "remove", "3")).toBe("ok");
  });
});

test("a member does not campaign while a committed configuration waits to be applied", () => {
  const cluster = clusterWithLeader();
  change(cluster, "remove", "3");
  for (const { to, message } of cluster.sent("1")) cluster.receive("1", to, message);
  for (const { message } of cluster.sent("2")) cluster.receive("2", "1", message);
  for (const { to, message } of cluster.sent("1")) if (to === "2") cluster.receive("1", "2", message);
  // 2 knows that the entry is committed, and its machine has not come to it.
  expect(cluster.status("2")).toMatchObject({ configurationPending: true, commit: 2, applied: 1 });
  cluster.campaign("2");
  expect(cluster.status("2").role).toBe("follower");
  cluster.settle();
  cluster.campaign("2");
  expect(cluster.status("2").role).toBe("preCandidate");
});

test("a configuration that was applied is still there after a restart of all, without those it does not need", () => {
  const cluster = new Cluster(["1", "2"]);
  cluster.elect("1");
  cluster.members.set("3", new Member("3", waitingDisk(), () => 0, OPTIONS));
  expect(change(cluster, "addLearner", "3")).toBe("ok");
  run(cluster, ELECTION_TIMEOUT + 2);
  expect(change(cluster, "promote", "3")).toBe("ok");
  cluster.settle();
  // The checkpoints of 1 and 3 know two voters, of which one is gone. Nobody is left to tell them what was committed.
  cluster.isolated.add("2");
  for (const id of ["1", "3"]) cluster.member(id).restart();
  cluster.settle();
  cluster.elect("1");
  expect(cluster.status("1")).toMatchObject({ role: "leader", configuration: { voters: ["1", "2", "3"] } });
});

test("votes tell what is committed, or a member could wait for ever for one of a configuration that is over", () => {
  const cluster = new Cluster(["1", "2"]);
  cluster.elect("1");
  cluster.members.set("4", new Member("4", waitingDisk(), () => 0, OPTIONS));
  change(cluster, "addLearner", "4");
  run(cluster, ELECTION_TIMEOUT + 2);
  const deliver = (from: string, only: readonly string[]): void => {
    for (const { to, message } of cluster.sent(from)) if (only.includes(to)) cluster.receive(from, to, message);
  };
  // The promotion comes to all; what follows it to the second alone, which does not hear that both are committed.
  expect(change(cluster, "promote", "4")).toBe("ok");
  deliver("1", ["2", "4"]);
  cluster.propose("1", "x");
  deliver("1", ["2"]);
  deliver("2", ["1"]);
  deliver("4", ["1"]);
  cluster.tick("1", OPTIONS.heartbeatTicks);
  for (const { to, message } of cluster.sent("1"))
    if (to === "4" && message.type === "heartbeat") cluster.receive("1", "4", message);
  cluster.sent("4");
  expect(cluster.status("4").configuration.voters).toEqual(["1", "2", "4"]);
  expect(cluster.status("2").configuration.voters).toEqual(["1", "2"]);
  expect(cluster.status("2").lastIndex).toBe(cluster.status("4").lastIndex + 1);
  // The first is gone for good. The second has the longer log and counts by two, the fourth cannot win.
  cluster.isolated.add("1");
  run(cluster, 6 * ELECTION_TIMEOUT);
  expect(cluster.status("2")).toMatchObject({ role: "leader", configuration: { voters: ["1", "2", "4"] } });
  expect(cluster.member("4").texts).toEqual(["x"]);
});
