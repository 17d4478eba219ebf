import { describe, expect, test } from "vitest";
import { type Message } from "../../../node/raft/types.ts";
import { accepted, Cluster, diskWithTerms } from "../cluster.ts";

// Raft paper, section 5.3: log replication.
const IDS = ["1", "2", "3"];

function appends(cluster: Cluster, id: string): Extract<Message, { type: "appendRequest" }>[] {
  return cluster.sent(id).flatMap(({ message }) => (message.type === "appendRequest" ? [message] : []));
}

test("the leader appends a proposal and sends it with what comes before it", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  expect(cluster.propose("1", "x")).toEqual({ ok: true, term: 1, firstIndex: 2, lastIndex: 2 });
  const sent = appends(cluster, "1");
  expect(sent).toHaveLength(2);
  for (const message of sent) {
    expect(message).toMatchObject({ previousIndex: 1, previousTerm: 1, commit: 1 });
    expect(message.entries.map((entry) => [entry.index, entry.term])).toEqual([[2, 1]]);
  }
});

test("a follower takes no proposal", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  expect(cluster.propose("2", "x")).toEqual({ ok: false, reason: "notLeader" });
});

describe("an entry is committed when a majority has stored it", () => {
  test.each([
    [1, 0, true],
    [2, 0, false],
    [2, 1, true],
    [3, 1, true],
    [5, 1, false],
    [5, 2, true],
    [7, 2, false],
    [7, 3, true],
  ])("%i members, %i answers: %s", (size, answers, committed) => {
    const ids = Array.from({ length: size }, (_, i) => `${i + 1}`);
    const cluster = new Cluster(ids);
    cluster.elect("1");
    cluster.propose("1", "x");
    cluster.sent("1");
    for (const id of ids.slice(1, 1 + answers)) cluster.receive(id, "1", accepted(1, 2));
    expect(cluster.status("1").commit).toBe(committed ? 2 : 1);
  });

  test("and the leader itself, which commits no further than its own disk", () => {
    const cluster = new Cluster(IDS);
    cluster.elect("1");
    cluster.propose("1", "x");
    const member = cluster.member("1");
    member.takeReady();
    cluster.receive("2", "1", accepted(1, 2));
    cluster.receive("3", "1", accepted(1, 2));
    expect(cluster.status("1").commit).toBe(1);
    member.settle();
    expect(cluster.status("1").commit).toBe(2);
    expect(member.texts).toEqual(["x"]);
  });
});

test("committing an entry commits those before it, of older terms too", () => {
  const disks = { "1": diskWithTerms(IDS, [1, 2], 2), "2": diskWithTerms(IDS, [1], 2), "3": diskWithTerms(IDS, [], 2) };
  const cluster = new Cluster(IDS, {}, disks);
  cluster.elect("1");
  for (const id of IDS) expect(cluster.member(id).texts).toEqual(["1", "2"]);
});

test("a follower refuses what does not follow its log, and says where to try", () => {
  const cluster = new Cluster(IDS, {}, { "1": diskWithTerms(IDS, [1, 1, 2], 2) });
  const refused = (previousIndex: number, previousTerm: number): unknown => {
    cluster.receive("2", "1", { type: "appendRequest", term: 3, previousIndex, previousTerm, commit: 0, entries: [] });
    return cluster.sent("1")[0]?.message;
  };
  expect(refused(9, 3)).toMatchObject({ refused: true, index: 9, hintIndex: 3, hintTerm: 2 });
  expect(refused(3, 1)).toMatchObject({ refused: true, index: 3, hintIndex: 2, hintTerm: 1 });
  expect(refused(3, 2)).toMatchObject({ refused: false, index: 3 });
});

// Figure 7 of the paper: six followers of the leader of term 8.
test.each([
  ["a: entries are missing", [1, 1, 1, 4, 4, 5, 5, 6, 6]],
  ["b: many are missing", [1, 1, 1, 4]],
  ["c: one too many", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
  ["d: two too many, of a later term", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
  ["e: missing and too many", [1, 1, 1, 4, 4, 4, 4]],
  ["f: long gone astray", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
])("the leader repairs the log of follower %s", (_, terms) => {
  const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  const disks = {
    "1": diskWithTerms(IDS, leader, 7),
    "2": diskWithTerms(IDS, terms, 7),
    "3": diskWithTerms(IDS, [], 7),
  };
  const cluster = new Cluster(IDS, {}, disks);
  cluster.elect("1");
  const wanted = [...leader, 8];
  expect(cluster.member("2").disk.entries.map((entry) => entry.term)).toEqual(wanted);
  expect(cluster.member("2").texts).toEqual(leader.map(String));
});

test("an old request, late, removes nothing", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.propose("1", "x");
  const late = appends(cluster, "1").at(0)!;
  cluster.propose("1", "y");
  const newer = appends(cluster, "1").at(0)!;
  for (const message of [late, newer, late]) cluster.receive("1", "2", message);
  expect(cluster.status("2").lastIndex).toBe(3);
});
