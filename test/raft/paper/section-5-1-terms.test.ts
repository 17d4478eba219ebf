import { describe, expect, test } from "vitest";
import { type Message } from "../../../node/raft/types.ts";
import { accepted, Cluster, NOTHING_KNOWN } from "../cluster.ts";

// Raft paper, section 5.1: terms are exchanged whenever servers communicate.
const IDS = ["1", "2", "3"];

describe("a higher term", () => {
  test("turns a follower's term up", () => {
    const cluster = new Cluster(IDS);
    cluster.receive("2", "1", { type: "heartbeat", term: 5, commit: 0, round: 0 });
    expect(cluster.status("1")).toMatchObject({ role: "follower", term: 5, leader: "2", vote: "" });
  });

  test("ends a candidacy", () => {
    const cluster = new Cluster(IDS);
    cluster.campaign("1");
    cluster.receive("2", "1", { type: "voteResponse", term: 7, preVote: false, granted: false, known: NOTHING_KNOWN });
    expect(cluster.status("1")).toMatchObject({ role: "follower", term: 7 });
  });

  test("ends a leadership", () => {
    const cluster = new Cluster(IDS);
    cluster.elect("1");
    cluster.receive("2", "1", { ...accepted(9, 0) });
    expect(cluster.status("1")).toMatchObject({ role: "follower", term: 9, leader: "" });
  });
});

test.each<Message>([
  { type: "appendRequest", term: 1, previousIndex: 0, previousTerm: 0, commit: 1, entries: [] },
  { type: "heartbeat", term: 1, commit: 1, round: 3 },
  { type: "voteRequest", term: 1, preVote: false, lastIndex: 9, lastTerm: 1, transfer: false, known: NOTHING_KNOWN },
  { type: "voteResponse", term: 1, preVote: false, granted: true, known: NOTHING_KNOWN },
  accepted(1, 1),
  { type: "timeoutNow", term: 1 },
])("a request of an older term changes nothing: $type", (message) => {
  const cluster = new Cluster(IDS);
  cluster.receive("2", "1", { type: "heartbeat", term: 2, commit: 0, round: 0 });
  cluster.sent("1");
  const before = cluster.status("1");
  cluster.receive("3", "1", message);
  expect(cluster.status("1")).toEqual(before);
  const granted = cluster.sent("1").filter((sent) => sent.message.type === "voteResponse" && sent.message.granted);
  expect(granted).toEqual([]);
});
