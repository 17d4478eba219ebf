import { expect, test } from "vitest";
import { Cluster } from "../cluster.ts";

// Raft paper, section 5.5: follower and candidate crashes. Requests may be repeated at will.
const IDS = ["1", "2", "3"];

test("a follower that was down gets what it missed", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.isolated.add("3");
  cluster.propose("1", "a", "b");
  cluster.settle();
  cluster.member("3").restart();
  cluster.isolated.clear();
  cluster.tick("1", 2);
  cluster.settle();
  expect(cluster.member("3").texts).toEqual(["a", "b"]);
});

test("every message may arrive twice", () => {
  const cluster = new Cluster(IDS);
  cluster.campaign("1");
  for (let round = 0; round < 20; round += 1) {
    for (const id of IDS) {
      for (const { to, message } of cluster.sent(id)) {
        cluster.receive(id, to, message);
        cluster.receive(id, to, message);
      }
    }
    if (round === 10) cluster.propose("1", "a");
  }
  for (const id of IDS) expect(cluster.member(id).texts).toEqual(["a"]);
});

test("after a restart of all, nothing that was committed is lost", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.propose("1", "a", "b");
  cluster.settle();
  for (const id of IDS) cluster.member(id).restart();
  cluster.elect("2");
  for (const id of IDS) expect(cluster.member(id).texts).toEqual(["a", "b"]);
});
