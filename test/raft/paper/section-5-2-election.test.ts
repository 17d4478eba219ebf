import { describe, expect, test } from "vitest";
import { type MemberId } from "../../../node/raft/types.ts";
import { Cluster, ELECTION_TIMEOUT, NOTHING_KNOWN } from "../cluster.ts";
import { diskOf, Member } from "../member.ts";

// Raft paper, section 5.2: leader election. With the pre-vote of the thesis, section 9.6.
const IDS = ["1", "2", "3"];

const vote = (term: number) =>
  ({
    type: "voteRequest",
    term,
    preVote: false,
    lastIndex: 0,
    lastTerm: 0,
    transfer: false,
    known: NOTHING_KNOWN,
  }) as const;

test("a member starts as a follower", () => {
  expect(new Cluster(IDS).status("1")).toMatchObject({ role: "follower", term: 0, leader: "" });
});

test("a leader sends heartbeats in every interval", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.tick("1", 2);
  const beats = cluster.sent("1").filter((sent) => sent.message.type === "heartbeat");
  expect(beats.map((sent) => sent.to)).toEqual(["2", "3"]);
});

test("a follower that hears nothing for an election timeout campaigns; one that hears a leader does not", () => {
  const cluster = new Cluster(IDS);
  cluster.tick("1", ELECTION_TIMEOUT - 1);
  expect(cluster.status("1").role).toBe("follower");
  cluster.receive("2", "1", { type: "heartbeat", term: 0, commit: 0, round: 0 });
  cluster.tick("1", ELECTION_TIMEOUT - 1);
  expect(cluster.status("1").role).toBe("follower");
  cluster.tick("1");
  expect(cluster.status("1").role).toBe("preCandidate");
});

test("a candidate votes for itself in a new term and asks the others, once its vote is durable", () => {
  const cluster = new Cluster(IDS);
  const member = cluster.member("1");
  cluster.campaign("1");
  cluster.sent("1");
  cluster.receive("2", "1", { type: "voteResponse", term: 1, preVote: true, granted: true, known: NOTHING_KNOWN });
  expect(cluster.status("1")).toMatchObject({ role: "candidate", term: 1, vote: "1" });
  member.takeReady();
  expect(member.outbox).toEqual([]);
  member.persistNext();
  expect(member.disk.hardState).toEqual({ term: 1, vote: "1", commit: 0 });
  expect(member.outbox.map((sent) => [sent.to, sent.message.type])).toEqual([
    ["2", "voteRequest"],
    ["3", "voteRequest"],
  ]);
});

describe("with answers of the others, in a cluster of a size", () => {
  test.each([
    [1, 0, 0, "leader"],
    [3, 1, 0, "leader"],
    [3, 1, 1, "leader"],
    [3, 0, 1, "candidate"],
    [3, 0, 2, "follower"],
    [5, 2, 0, "leader"],
    [5, 1, 2, "candidate"],
    [5, 1, 3, "follower"],
    [5, 0, 0, "candidate"],
  ])("%i: %i yes, %i no make a %s", (size, yes, no, role) => {
    const ids = Array.from({ length: size }, (_, i) => `${i + 1}`);
    const cluster = new Cluster(ids);
    cluster.campaign("1");
    for (const id of ids.slice(1)) {
      if (cluster.status("1").role !== "preCandidate") break;
      cluster.receive(id, "1", { type: "voteResponse", term: 1, preVote: true, granted: true, known: NOTHING_KNOWN });
    }
    cluster.sent("1");
    for (const [i, id] of ids.slice(1, 1 + yes + no).entries()) {
      // Twice: a repeated answer does not count again.
      for (let n = 0; n < 2; n += 1) {
        cluster.receive(id, "1", {
          type: "voteResponse",
          term: 1,
          preVote: false,
          granted: i < yes,
          known: NOTHING_KNOWN,
        });
      }
    }
    expect(cluster.status("1").role).toBe(role);
  });
});

test("a member votes once per term, first come first served, and again for the same candidate", () => {
  const cluster = new Cluster(IDS);
  const answers = (from: MemberId): unknown[] => {
    cluster.receive(from, "1", vote(1));
    return cluster.sent("1").map((sent) => sent.message.type === "voteResponse" && sent.message.granted);
  };
  expect(answers("2")).toEqual([true]);
  expect(answers("3")).toEqual([false]);
  expect(answers("2")).toEqual([true]);
  cluster.member("1").restart();
  expect(answers("3")).toEqual([false]);
});

test("a candidate that hears the leader of its term follows it", () => {
  const cluster = new Cluster(IDS);
  cluster.campaign("1");
  cluster.receive("2", "1", { type: "voteResponse", term: 1, preVote: true, granted: true, known: NOTHING_KNOWN });
  cluster.receive("3", "1", { type: "heartbeat", term: 1, commit: 0, round: 0 });
  expect(cluster.status("1")).toMatchObject({ role: "follower", term: 1, leader: "3" });
});

test("timeouts are random, between one and two election timeouts, and drawn anew for every wait", () => {
  let draw = 0;
  const bounds = new Set<number>();
  const random = (bound: number): number => {
    bounds.add(bound);
    draw = (draw + 3) % ELECTION_TIMEOUT;
    return draw;
  };
  const options = { electionTimeoutTicks: ELECTION_TIMEOUT, heartbeatTicks: 2 };
  const member = new Member("1", diskOf({ voters: IDS, learners: [] }), random, options);
  const waits: number[] = [];
  for (let i = 0; i < 10; i += 1) {
    for (let ticks = 1; ; ticks += 1) {
      member.core.step({ type: "tick" });
      if (!member.core.hasReady()) continue;
      member.settle();
      waits.push(ticks);
      break;
    }
  }
  expect(bounds).toContain(ELECTION_TIMEOUT);
  expect(new Set(waits).size).toBeGreaterThanOrEqual(5);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(ELECTION_TIMEOUT);
  expect(Math.max(...waits)).toBeLessThan(2 * ELECTION_TIMEOUT);
});
