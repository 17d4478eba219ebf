import { expect, test } from "vitest";
import { InvariantError } from "../../../node/raft/assert.ts";
import { Cluster, ELECTION_TIMEOUT } from "../cluster.ts";

// Raft paper, section 5.6: timing and availability.
const IDS = ["1", "2", "3"];

test("with heartbeats on time nobody campaigns and the term stays", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  for (let i = 0; i < 10 * ELECTION_TIMEOUT; i += 1) {
    for (const id of IDS) cluster.tick(id);
    cluster.settle();
  }
  for (const id of IDS) expect(cluster.status(id)).toMatchObject({ term: 1, leader: "1" });
});

test("when the leader is gone another one is found within two election timeouts", () => {
  const cluster = new Cluster(IDS);
  cluster.elect("1");
  cluster.isolated.add("1");
  // The waits differ by a tick, as randomness would have it.
  cluster.tick("2");
  const hasNewLeader = (): boolean => ["2", "3"].some((id) => cluster.status(id).role === "leader");
  for (let i = 0; i < 2 * ELECTION_TIMEOUT && !hasNewLeader(); i += 1) {
    for (const id of ["2", "3"]) {
      cluster.tick(id);
      cluster.settle();
    }
  }
  expect(hasNewLeader()).toBe(true);
});

test("an election timeout below three heartbeats is refused", () => {
  expect(() => new Cluster(IDS, { electionTimeoutTicks: 5, heartbeatTicks: 2 })).toThrow(InvariantError);
});
