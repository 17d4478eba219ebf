import { describe, expect, test } from "vitest";
import { type Message } from "../../../node/raft/types.ts";
import { Cluster, diskWithTerms } from "../cluster.ts";
import { encode } from "../member.ts";

// Raft paper, section 7: log compaction.
const IDS = ["1", "2", "3"];

function chunk(index: number, term: number, sequence = 0, last = true): Message {
  const meta = { index, term, configuration: { voters: IDS, learners: [] } };
  return { type: "snapshotChunk", term: 5, transfer: 1, meta, sequence, last, data: encode('["s"]') };
}

function clusterWithCompactedLeader(texts: number): Cluster {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.isolated.add("3");
  for (let i = 0; i < texts; i += 1) cluster.propose("1", `${i}`);
  cluster.settle();
  cluster.member("1").checkpoint();
  cluster.isolated.clear();
  return cluster;
}

test("a follower that is behind the compacted log gets a snapshot, in chunks, and goes on from there", () => {
  const cluster = clusterWithCompactedLeader(50);
  cluster.member("1").chunkTexts = 3;
  cluster.tick("1", 2);
  cluster.settle();
  expect(cluster.member("3").installs).toBe(1);
  cluster.propose("1", "after");
  cluster.settle();
  expect(cluster.member("3").texts).toEqual(cluster.member("1").texts);
  expect(cluster.status("1").peers).toMatchObject([{ state: "replicate" }, { state: "replicate" }]);
});

test("a snapshot that is behind the commit index is not installed", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.propose("1", "a");
  cluster.settle();
  cluster.receive("2", "3", chunk(1, 1));
  cluster.member("3").settle();
  expect(cluster.member("3")).toMatchObject({ installs: 0, texts: ["a"] });
  const answers = cluster.member("3").outbox.map((sent) => sent.message);
  expect(answers).toContainEqual({ type: "snapshotResponse", term: 5, transfer: 1, status: "installed", sequence: 0 });
});

describe("the log of the follower", () => {
  test("is kept behind a snapshot that it already holds", () => {
    const cluster = new Cluster(IDS, {}, { "3": diskWithTerms(IDS, [1, 1, 1, 1], 1) });
    cluster.receive("2", "3", chunk(2, 1));
    cluster.member("3").settle();
    expect(cluster.status("3")).toMatchObject({ commit: 2, lastIndex: 4 });
    // Nothing had to be installed: the entries lead to the same state.
    expect(cluster.member("3").texts).toEqual(["1", "1"]);
  });

  test("is dropped when it disagrees", () => {
    const cluster = new Cluster(IDS, {}, { "3": diskWithTerms(IDS, [1, 1, 1, 1], 1) });
    cluster.receive("2", "3", chunk(3, 2));
    cluster.member("3").settle();
    expect(cluster.status("3")).toMatchObject({ commit: 3, applied: 3, firstIndex: 4, lastIndex: 3 });
    expect(cluster.member("3").texts).toEqual(["s"]);
  });
});

test("while a snapshot is installed: no campaign, and the membership comes with it", () => {
  const cluster = new Cluster(IDS);
  cluster.receive("2", "3", chunk(9, 4, 0, false));
  cluster.campaign("3");
  expect(cluster.status("3").role).toBe("follower");
  cluster.receive("2", "3", chunk(9, 4, 1, true));
  cluster.member("3").settle();
  expect(cluster.status("3")).toMatchObject({ applied: 9, configuration: { voters: IDS } });
  cluster.campaign("3");
  expect(cluster.status("3").role).toBe("preCandidate");
});

test("nothing enters a log that the shell is about to replace", () => {
  const cluster = new Cluster(IDS);
  const member = cluster.member("3");
  cluster.receive("2", "3", chunk(9, 4));
  member.takeReady();
  const entries = [{ type: "normal", index: 1, term: 5, data: encode("x") }] as const;
  cluster.receive("2", "3", { type: "appendRequest", term: 5, previousIndex: 0, previousTerm: 0, commit: 1, entries });
  expect(cluster.status("3").lastIndex).toBe(0);
  member.settle();
  expect(cluster.status("3")).toMatchObject({ applied: 9, lastIndex: 9 });
  expect(member.texts).toEqual(["s"]);
});
