import { X509Certificate } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogger, silentLogger } from "../../operator/runtime/logger.ts";
import { FakeCluster } from "../support/fake-apiserver/index.ts";

const level = process.env["CONCORD_TEST_LOG"];
const log = level === undefined ? silentLogger : createLogger(level);

describe("the operator on a cluster", () => {
  let fake: FakeCluster;

  beforeEach(async () => {
    fake = await FakeCluster.open({ log });
  });

  afterEach(async () => {
    await fake.close();
  });

  async function ready(spec = {}): Promise<void> {
    fake.createCluster("demo", spec);
    await fake.until("Ready", () => fake.isReady("demo"));
  }

  /** Name and UID of each pod. */
  const pods = () =>
    Object.fromEntries(fake.server.storage.list("/pods").map(({ metadata }) => [metadata.name, metadata.uid]));
  const claims = () => fake.server.storage.list("/persistentvolumeclaims").map(({ metadata }) => metadata.name);
  const events = () => fake.server.storage.list("events.k8s.io/events").map((event) => event["reason"]);

  /** Nothing but Events is written for a while. */
  async function quiet(): Promise<void> {
    let before = -1;
    const writes = () => fake.server.storage.writes.filter((write) => !write.includes("events.k8s.io")).length;
    await fake.until("no more writes", () => {
      const now = writes();
      const same = now === before;
      before = now;
      return same;
    });
  }

  test("creates three members and founds them once", async () => {
    fake.startOperator();
    await ready();
    expect(fake.members.clusters).toHaveLength(1);
    expect(fake.members.clusters[0]?.members.map(({ name, learner }) => [name, learner])).toEqual([
      ["demo-m1", false],
      ["demo-m2", false],
      ["demo-m3", false],
    ]);
    expect(fake.members.changes).toHaveLength(5);
  });

  test("works in the given namespaces only", async () => {
    fake.startOperator({ namespaces: ["default"] });
    fake.createCluster("other", { replicas: 1 }, "elsewhere");
    await ready({ replicas: 1 });
    expect(fake.server.storage.list("apps/statefulsets", "elsewhere")).toEqual([]);
    expect(fake.server.requests.every(({ path }) => path.includes("/namespaces/default/"))).toBe(true);
  });

  test("a rollout restarts followers first and moves the leader once", async () => {
    fake.startOperator();
    await ready();
    const before = pods();
    const leader = fake.members.leaderName;
    const stream: string[] = [];
    fake.server.storage.onEvent(({ type, resource, object }) => {
      if (type === "DELETED" && resource === "/pods") stream.push(object.metadata.name);
    });
    fake.patchCluster("demo", { metadata: { annotations: { "concord.io/restarted-at": "now" } } });
    await fake.until("all pods to be new", () => Object.entries(pods()).every(([name, uid]) => before[name] !== uid));
    await fake.until("Ready", () => fake.isReady("demo"));
    expect(stream).toHaveLength(3);
    expect(stream.at(-1)).toBe(`${leader ?? ""}-0`);
    expect(fake.members.clusters[0]?.leaderChanges).toBe(1);
  });

  test("a wiped volume makes another member, never another cluster", async () => {
    fake.startOperator();
    await ready();
    const [victim] = fake.server.storage
      .list("/pods")
      .filter(({ metadata }) => metadata.name !== `${fake.members.leaderName ?? ""}-0`);
    const name = victim?.metadata.name ?? "";
    const claim = fake.server.storage
      .list("/persistentvolumeclaims")
      .find((each) => each.metadata.name.endsWith(name.slice("demo".length, -2)));
    // The node of the old pod is free before the new pod looks for one.
    const together: string[] = [];
    fake.server.storage.onEvent(({ type, resource, object }) => {
      if (type === "ADDED" && resource === "apps/statefulsets" && fake.get("/pods", name) !== undefined)
        together.push(object.metadata.name);
    });
    fake.members.wipeVolume(claim?.metadata.uid ?? "");
    await fake.kubelet.restartContainer("default", name);
    const member = name.slice(0, -2);
    const cluster = fake.members.clusters[0];
    await fake.until(
      "another member",
      () => cluster?.members.every((each) => each.name !== member) === true && cluster.members.length === 3,
    );
    await fake.until("Ready", () => fake.isReady("demo"));
    expect(together).toEqual([]);
    expect(fake.members.clusters).toHaveLength(1);
    expect(fake.members.changes.filter((change) => change.startsWith("grant"))).toHaveLength(1);
  });

  test("repairs what others delete or edit, and leaves their additions alone", async () => {
    fake.startOperator();
    await ready();
    const service = { resource: "/services", namespace: "default", name: "demo" };
    const before = fake.server.storage.get(service);
    fake.server.storage.patch(service, { metadata: { annotations: { theirs: "1" } } });
    fake.server.storage.patch(service, { spec: { type: "NodePort" } });
    await fake.until(
      "the type to be back",
      () => JSON.stringify(fake.server.storage.get(service)?.["spec"]) === JSON.stringify(before?.["spec"]),
    );
    expect(fake.server.storage.get(service)?.metadata["annotations"]).toMatchObject({ theirs: "1" });
    fake.server.storage.delete({ ...service, name: "demo-any" });
    await fake.until("the Service to be back", () => fake.get("/services", "demo-any") !== undefined);
  });

  test("does not take over an object of somebody else", async () => {
    const address = { resource: "/services", namespace: "default", name: "demo" };
    const theirs = { apiVersion: "v1", kind: "Service", metadata: { name: "demo" }, spec: { theirs: true } };
    fake.server.storage.create(address, theirs, "somebody");
    fake.startOperator();
    fake.createCluster("demo");
    await fake.until("an event that tells it", () => events().length > 0);
    expect(fake.server.storage.get(address)?.["spec"]).toEqual({ theirs: true });
    expect(fake.isReady("demo")).toBe(false);
  });

  test("writes nothing in the steady state, also after a restart", async () => {
    const first = fake.startOperator();
    await ready();
    await quiet();
    await first.stop();
    const before = fake.server.storage.version;
    const seen = fake.server.requests.length;
    fake.startOperator();
    // The second operator applies everything once, and nothing of it changes anything.
    await fake.until("the last object to be applied", () =>
      fake.server.requests
        .slice(seen)
        .some(({ method, path }) => method === "PATCH" && path.includes("poddisruptionbudgets")),
    );
    await quiet();
    const settled = fake.server.requests.length;
    fake.kubelet.kick();
    await fake.until("silence", () => fake.server.requests.slice(settled).every(({ write }) => !write));
    expect(fake.server.storage.version).toBe(before);
  });

  test("a paused cluster is left alone", async () => {
    fake.startOperator();
    await ready();
    fake.patchCluster("demo", { spec: { paused: true, replicas: 5 } });
    await quiet();
    expect(fake.server.storage.list("apps/statefulsets")).toHaveLength(3);
    fake.patchCluster("demo", { spec: { paused: false } });
    await fake.until("five members", () => fake.isReady("demo") && fake.members.clusters[0]?.members.length === 5);
  });

  test("a deleted cluster leaves its volumes", async () => {
    fake.startOperator();
    await ready();
    const before = claims();
    fake.server.storage.delete({ resource: "concord.io/concordclusters", namespace: "default", name: "demo" });
    await fake.until("all pods gone", () => Object.keys(pods()).length === 0);
    await quiet();
    expect(fake.server.storage.list("apps/statefulsets")).toEqual([]);
    expect(claims()).toEqual(before);
  });

  test("certificates are issued anew without a restart, when names change or a Secret is lost", async () => {
    fake.startOperator({ secretAgeMsMax: 0 });
    await ready();
    const before = pods();
    const dataOf = (name: string) => fake.get("/secrets", name)?.["data"] as Record<string, string> | undefined;
    const old = { server: dataOf("demo-m1-tls")?.["server.crt"], authority: dataOf("demo-client-ca")?.["tls.crt"] };
    fake.server.storage.delete({ resource: "/secrets", namespace: "default", name: "demo-admin-tls" });
    fake.patchCluster("demo", { spec: { tls: { client: { extraSubjectAltNames: ["kv.example.com"] } } } });
    await fake.until("new certificates", () => {
      const server = dataOf("demo-m1-tls")?.["server.crt"];
      return server !== old.server && dataOf("demo-admin-tls") !== undefined && fake.isReady("demo");
    });
    const certificate = new X509Certificate(Buffer.from(dataOf("demo-m1-tls")?.["server.crt"] ?? "", "base64"));
    expect(certificate.subjectAltName).toContain("DNS:kv.example.com");
    expect(dataOf("demo-client-ca")?.["tls.crt"]).toBe(old.authority);
    expect(pods()).toEqual(before);
  });
});
