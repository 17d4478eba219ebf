import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeCluster } from "../support/fake-apiserver/index.ts";
import { createLogger, silentLogger } from "../../operator/runtime/logger.ts";
import { Prng } from "../support/prng.ts";

const level = process.env["CONCORD_TEST_LOG"];
const log = level === undefined ? silentLogger : createLogger(level);

const ELECTION = {
  namespace: "default",
  name: "operator",
  leaseDurationMs: 3000,
  renewDeadlineMs: 2000,
  retryPeriodMs: 100,
};

describe("the operator on a bad day of the API server", () => {
  let fake: FakeCluster;

  beforeEach(async () => {
    fake = await FakeCluster.open({ log });
  });

  afterEach(async () => {
    fake.server.faults = () => undefined;
    await fake.close();
  });

  test("every third request fails, at random and in every way, and the cluster becomes Ready once", async () => {
    const seed = 20261125;
    const random = new Prng(seed);
    fake.server.faults = () => {
      const draw = random.float();
      if (draw < 0.1) return { type: "answer", status: 500 };
      if (draw < 0.15) return { type: "answer", status: 429 };
      if (draw < 0.25) return { type: "reset", when: "before" };
      return draw < 0.33 ? { type: "reset", when: "after" } : undefined;
    };
    fake.startOperator();
    fake.createCluster("demo");
    await fake.until(`Ready with seed ${seed}`, () => fake.isReady("demo"), 60_000);
    expect(fake.members.changes.filter((change) => change.startsWith("grant"))).toHaveLength(1);
    expect(fake.members.clusters).toHaveLength(1);
  }, 70_000);

  test("watches that fall silent do not make it act twice on what it has done", async () => {
    fake.startOperator();
    fake.createCluster("demo");
    await fake.until("Ready", () => fake.isReady("demo"));
    const deleted: string[] = [];
    fake.server.storage.onEvent(({ type, resource, object }) => {
      if (resource === "/pods" && type === "DELETED") deleted.push(object.metadata.name);
    });
    fake.patchCluster("demo", { metadata: { annotations: { "concord.io/restarted-at": "1" } } });
    await fake.until("the first pod to be deleted", () => deleted.length >= 1);
    // From here on the caches show nothing new: the operator must wait instead of deleting the next.
    fake.server.silenceWatches();
    const before = deleted.length;
    let looks = 0;
    fake.members.hook = (when, call) => {
      if (when === "after" && call === "GET /admin/v1/status") looks += 1;
    };
    await fake.until("the operator to look at its members a few times", () => looks >= 9);
    expect(deleted.length).toBe(before);
    fake.server.endWatches();
    await fake.until("all pods to be new", () => deleted.length === 3 && fake.isReady("demo"));
    expect(new Set(deleted).size).toBe(3);
  });

  test("a lost history is no loss", async () => {
    fake.startOperator();
    fake.createCluster("demo");
    await fake.until("Ready", () => fake.isReady("demo"));
    fake.server.endWatches();
    fake.server.storage.delete({ resource: "/services", namespace: "default", name: "demo-any" });
    fake.server.storage.compact();
    await fake.until("the Service to be back", () => fake.get("/services", "demo-any") !== undefined);
  });

  test("of two operators one works; when its lease is taken it ends without another write", async () => {
    const [first, second] = ["first", "second"].map((identity) =>
      fake.startOperator({ leaderElection: { ...ELECTION, identity }, instance: identity }),
    );
    fake.createCluster("demo");
    await fake.until("Ready", () => fake.isReady("demo"));
    const lease = { resource: "coordination.k8s.io/leases", namespace: "default", name: "operator" };
    const holder = () => (fake.server.storage.get(lease)?.["spec"] as { holderIdentity?: string }).holderIdentity;
    const leader = holder() === "first" ? first : second;
    fake.server.storage.patch(lease, { spec: { holderIdentity: "thief", leaseDurationSeconds: 1 } });
    expect(await leader?.ended).toBe("lost");
    fake.patchCluster("demo", { spec: { replicas: 5 } });
    await fake.until(
      "the other one to take over",
      () => fake.isReady("demo") && fake.members.clusters[0]?.members.length === 5,
    );
    expect(["first", "second"]).toContain(holder());
    expect(fake.members.changes.filter((change) => change.startsWith("grant"))).toHaveLength(1);
  });

  test("a stopped operator hands its lease over at once", async () => {
    const first = fake.startOperator({ leaderElection: { ...ELECTION, identity: "first" } });
    fake.createCluster("demo", { replicas: 1 });
    await fake.until("Ready", () => fake.isReady("demo"));
    await first.stop();
    expect(await first.ended).toBe("stopped");
    fake.startOperator({ leaderElection: { ...ELECTION, identity: "second" } });
    fake.patchCluster("demo", { spec: { replicas: 3 } });
    await fake.until("three members", () => fake.isReady("demo") && fake.members.clusters[0]?.members.length === 3);
  });

  test("members that do not answer are never taken for members that are gone", async () => {
    fake.startOperator();
    fake.createCluster("demo");
    await fake.until("Ready", () => fake.isReady("demo"));
    const before = [...fake.members.changes];
    let unanswered = 0;
    fake.members.hook = () => {
      unanswered += 1;
      throw new Error("partition");
    };
    fake.patchCluster("demo", { spec: { replicas: 5 } });
    await fake.until("three looks at all members", () => unanswered >= 9);
    expect(fake.members.changes).toEqual(before);
    expect(fake.server.storage.list("/pods").length).toBeGreaterThanOrEqual(3);
    expect(fake.isReady("demo")).toBe(false);
    fake.members.hook = () => undefined;
    fake.kubelet.kick();
    await fake.until(
      "five members",
      () => fake.isReady("demo") && fake.members.clusters[0]?.members.length === 5,
      30_000,
    );
  }, 40_000);
});
