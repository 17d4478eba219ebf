import { expect, test } from "vitest";
import { Cluster, ELECTION_TIMEOUT } from "../cluster.ts";
import { diskOf, Member } from "../member.ts";

// Raft paper, section 8: client interaction; reads as in the thesis, section 6.4.
const IDS = ["1", "2", "3"];
const OPTIONS = { electionTimeoutTicks: ELECTION_TIMEOUT, heartbeatTicks: 2 };

function read(cluster: Cluster, id: string, context: number): void {
  cluster.member(id).core.step({ type: "readIndex", context });
}

test("a leader begins its term with an empty entry, which tells it what is committed", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  expect(cluster.status("1")).toMatchObject({ commit: 1, lastIndex: 1, committedInTerm: true });
  expect(cluster.member("1").texts).toEqual([]);
});

test("a read at the leader and at a follower sees every write that was acknowledged before", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.propose("1", "a");
  cluster.settle();
  const { commit } = cluster.status("1");
  for (const id of IDS) read(cluster, id, 1);
  cluster.settle();
  for (const id of IDS) expect(cluster.member(id).reads).toEqual([{ context: 1, index: commit }]);
});

test("a deposed leader that does not know it answers no read", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.isolated.add("1");
  for (const id of ["2", "3"]) cluster.member(id).core.step({ type: "connectionLost", member: "1", delayTicks: 0 });
  cluster.elect("2");
  cluster.propose("2", "new");
  cluster.settle();
  read(cluster, "1", 1);
  cluster.settle();
  expect(cluster.status("1").role).toBe("leader");
  cluster.tick("1", ELECTION_TIMEOUT);
  cluster.settle();
  expect(cluster.member("1")).toMatchObject({ reads: [], failedReads: [{ context: 1, reason: "leaderChanged" }] });
});

test("answers that were sent before a read arrived do not confirm it", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  read(cluster, "1", 1);
  const beats = cluster.sent("1");
  read(cluster, "1", 2);
  for (const { to, message } of beats) cluster.receive("1", to, message);
  for (const id of ["2", "3"]) for (const { message } of cluster.sent(id)) cluster.receive(id, "1", message);
  cluster.member("1").settle();
  expect(cluster.member("1").reads.map((r) => r.context)).toEqual([1]);
  cluster.settle();
});

test("an answer that was under way during a restart serves no newer read", () => {
  // Numbers of forwarded reads begin at a random point, so the two lives of 2 use different ones.
  let draw = 0;
  const configuration = { voters: IDS, learners: [] };
  const cluster = new Cluster(IDS);
  cluster.members.set("2", new Member("2", diskOf(configuration), () => (draw += 1) % 5, OPTIONS));
  cluster.elect("1");
  read(cluster, "2", 1);
  const old = cluster.sent("2").map((sent) => sent.message);
  for (const message of old) cluster.receive("2", "1", message);
  cluster.member("2").restart();
  cluster.tick("1", 2);
  for (const { to, message } of cluster.sent("1")) cluster.receive("1", to, message);
  read(cluster, "2", 2);
  const [request] = cluster.sent("2").flatMap(({ message }) => (message.type === "readIndexRequest" ? [message] : []));
  const [stale] = old.flatMap((message) => (message.type === "readIndexRequest" ? [message] : []));
  cluster.receive("1", "2", { type: "readIndexResponse", term: 1, context: stale!.context, index: 1 });
  cluster.member("2").settle();
  expect(cluster.member("2").reads).toEqual([]);
  cluster.receive("1", "2", { type: "readIndexResponse", term: 1, context: request!.context, index: 1 });
  cluster.member("2").settle();
  expect(cluster.member("2").reads).toEqual([{ context: 2, index: 1 }]);
});
