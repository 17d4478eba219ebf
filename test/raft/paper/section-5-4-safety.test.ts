import { describe, expect, test } from "vitest";
import { accepted, Cluster, diskWithTerms, NOTHING_KNOWN } from "../cluster.ts";

// Raft paper, section 5.4: safety.
const IDS = ["1", "2", "3", "4", "5"];

describe("5.4.1: a vote is given only to a log that is at least as up to date", () => {
  test.each([
    // own log, candidate's last index and term, granted
    [[1], 1, 1, true],
    [[1], 2, 1, true],
    [[1, 1], 1, 1, false],
    [[1], 1, 2, true],
    [[1], 2, 2, true],
    [[1, 1], 1, 2, true],
    [[2], 1, 1, false],
    [[2], 2, 1, false],
    [[2, 2], 1, 1, false],
    [[], 0, 0, true],
  ])("own terms %j, candidate at index %i of term %i: %s", (terms, lastIndex, lastTerm, granted) => {
    for (const preVote of [true, false]) {
      const cluster = new Cluster(IDS, {}, { "1": diskWithTerms(IDS, terms, 2) });
      const message = {
        type: "voteRequest",
        term: 3,
        preVote,
        lastIndex,
        lastTerm,
        transfer: false,
        known: NOTHING_KNOWN,
      } as const;
      cluster.receive("2", "1", message);
      expect(cluster.sent("1").map((sent) => sent.message)).toMatchObject([{ type: "voteResponse", preVote, granted }]);
    }
  });
});

describe("5.4.2: only entries of the own term are committed by counting", () => {
  test("an old entry on a majority is not committed, until one of the own term is", () => {
    const cluster = new Cluster(IDS, {}, { "1": diskWithTerms(IDS, [1, 2], 2) });
    cluster.isolated.add("4").add("5");
    cluster.campaign("1");
    for (const id of ["2", "3"]) {
      cluster.receive(id, "1", { type: "voteResponse", term: 3, preVote: true, granted: true, known: NOTHING_KNOWN });
    }
    cluster.sent("1");
    for (const id of ["2", "3"]) {
      cluster.receive(id, "1", { type: "voteResponse", term: 3, preVote: false, granted: true, known: NOTHING_KNOWN });
    }
    cluster.sent("1");
    expect(cluster.status("1")).toMatchObject({ role: "leader", lastIndex: 3 });
    for (const id of ["2", "3"]) cluster.receive(id, "1", accepted(3, 2));
    expect(cluster.status("1")).toMatchObject({ commit: 0, committedInTerm: false });
    cluster.receive("2", "1", accepted(3, 3));
    expect(cluster.status("1").commit).toBe(0);
    cluster.receive("3", "1", accepted(3, 3));
    expect(cluster.status("1")).toMatchObject({ commit: 3, committedInTerm: true });
  });

  test("figure 8: an entry of term 2 on a majority is overwritten, and was never committed", () => {
    // (c) 1 leads term 4 and has spread its entry of term 2 to 3; 5 has one of term 3.
    const disks = {
      "1": diskWithTerms(IDS, [1, 2], 4),
      "2": diskWithTerms(IDS, [1, 2], 4),
      "3": diskWithTerms(IDS, [1, 2], 4),
      "4": diskWithTerms(IDS, [1], 4),
      "5": diskWithTerms(IDS, [1, 3], 4),
    };
    const cluster = new Cluster(IDS, {}, disks);
    cluster.isolated.add("1");
    cluster.elect("5");
    cluster.isolated.clear();
    cluster.tick("5", 2);
    cluster.settle();
    for (const id of IDS) {
      expect(cluster.member(id).texts).toEqual(["1", "3"]);
      expect(cluster.member(id).disk.entries.map((entry) => entry.term)).toEqual([1, 3, 5]);
    }
  });
});
