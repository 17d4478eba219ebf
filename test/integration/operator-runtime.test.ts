import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ApiError } from "../../operator/runtime/api-error.ts";
import { Connection } from "../../operator/runtime/connection.ts";
import { NotLeaderError } from "../../operator/runtime/errors.ts";
import { EventRecorder } from "../../operator/runtime/events.ts";
import { HealthServer } from "../../operator/runtime/health.ts";
import { type KubernetesObject, RESOURCES } from "../../operator/runtime/kubernetes-object.ts";
import { LeaderElector } from "../../operator/runtime/leader-election.ts";
import { silentLogger } from "../../operator/runtime/logger.ts";
import { Reflector } from "../../operator/runtime/reflector.ts";
import { RestClient, type RestClientOptions } from "../../operator/runtime/rest-client.ts";
import { Store } from "../../operator/runtime/store.ts";
import { FakeApiServer } from "../support/fake-apiserver/index.ts";

type ConfigMap = KubernetesObject & { readonly data?: Record<string, string> };

const FAST = { queriesPerSecond: 5000, burst: 5000 };
const configMap = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "ns" },
  data,
});

let server: FakeApiServer;
let connection: Connection;

beforeEach(async () => {
  server = new FakeApiServer();
  await server.open();
  connection = Connection.insecure(server.url);
});

afterEach(async () => {
  connection.close();
  await server.close();
});

const client = (options: RestClientOptions = {}) => new RestClient(connection, { ...FAST, ...options });
const put = (name: string, value = "1") =>
  server.storage.apply(
    { resource: "/configmaps", namespace: "ns", name },
    { ...configMap(name, { value }) } as never,
    "t",
  );
const remove = (name: string) => server.storage.delete({ resource: "/configmaps", namespace: "ns", name });

describe("RestClient", () => {
  test("hundreds of requests use a handful of connections", async () => {
    put("a");
    const rest = client();
    for (let round = 0; round < 50; round += 1) {
      await Promise.all(Array.from({ length: 4 }, () => rest.get(RESOURCES.configMaps, "ns", "a")));
    }
    expect(server.requests).toHaveLength(200);
    expect(server.connections).toBeLessThanOrEqual(8);
  });

  test("an absent object is undefined, and deleting it is no failure", async () => {
    expect(await client().get(RESOURCES.configMaps, "ns", "absent")).toBeUndefined();
    expect(await client().delete(RESOURCES.configMaps, "ns", "absent")).toBe(false);
  });

  test("lists are read page by page", async () => {
    server.pageSizeMax = 3;
    for (let number = 0; number < 8; number += 1) put(`c${number}`);
    const { items, resourceVersion } = await client().list(RESOURCES.configMaps, "ns");
    expect(items.map(({ metadata }) => metadata.name)).toEqual(["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"]);
    expect(items[0]).toMatchObject({ apiVersion: "v1", kind: "ConfigMap" });
    expect(resourceVersion).toBe(String(server.storage.version));
    expect(server.requests).toHaveLength(3);
  });

  test("apply owns the fields it names and leaves those of others", async () => {
    const rest = client();
    await rest.apply(configMap("a", { mine: "1", gone: "1" }));
    server.storage.patch({ resource: "/configmaps", namespace: "ns", name: "a" }, { data: { theirs: "1" } });
    const answer = await rest.apply(configMap("a", { mine: "2" }));
    expect(answer.data).toEqual({ mine: "2", theirs: "1" });
    const again = await rest.apply(configMap("a", { mine: "2" }));
    expect(again.metadata.resourceVersion).toBe(answer.metadata.resourceVersion);
  });

  test("a precondition that does not hold is a conflict, and nothing is done", async () => {
    put("a");
    const rest = client();
    await expect(rest.delete(RESOURCES.configMaps, "ns", "a", { uid: "another" })).rejects.toMatchObject({
      status: 409,
    });
    const stale = { ...configMap("a"), metadata: { name: "a", namespace: "ns", resourceVersion: "1" } };
    await expect(rest.apply(stale)).rejects.toMatchObject({ status: 409, reason: "Conflict" });
    expect(await rest.get(RESOURCES.configMaps, "ns", "a")).toBeDefined();
  });

  test("waits as long as the server asks, and gives up only then", async () => {
    put("a");
    server.faults = ({ number }) => (number <= 1 ? { type: "answer", status: 429, retryAfterSeconds: 1 } : undefined);
    const startedMs = performance.now();
    expect(await client().get(RESOURCES.configMaps, "ns", "a")).toBeDefined();
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(990);
  });

  test("a failure without a wait is the caller's to handle", async () => {
    server.faults = () => ({ type: "answer", status: 500 });
    await expect(client().get(RESOURCES.configMaps, "ns", "a")).rejects.toBeInstanceOf(ApiError);
    expect(server.requests).toHaveLength(1);
  });

  test("a server that says nothing is given up after the time-out", async () => {
    server.faults = () => ({ type: "silence" });
    await expect(client({ timeoutMs: 50 }).get(RESOURCES.configMaps, "ns", "a")).rejects.toThrow("within 50 ms");
  });

  test("nothing is written once the fence is closed", async () => {
    const fence = (): void => {
      throw new NotLeaderError();
    };
    const rest = client({ fence });
    await expect(rest.apply(configMap("a"))).rejects.toBeInstanceOf(NotLeaderError);
    await expect(rest.delete(RESOURCES.configMaps, "ns", "a")).rejects.toBeInstanceOf(NotLeaderError);
    expect(server.requests).toHaveLength(0);
  });
});

describe("Reflector", () => {
  let reflector: Reflector<ConfigMap>;
  let store: Store<ConfigMap>;
  const names = () =>
    store
      .values()
      .map(({ metadata }) => metadata.name)
      .sort();

  beforeEach(async () => {
    put("a");
    put("b");
    store = new Store();
    reflector = new Reflector(client(), store, silentLogger, {
      type: RESOURCES.configMaps,
      namespace: "ns",
      backoffMs: 5,
      backoffMsMax: 20,
      bookmarkMs: 60,
    });
    reflector.start();
    await reflector.waitForSync();
    await server.watched();
  });

  afterEach(async () => {
    await reflector.close();
  });

  /** Waits for changes of the store until the condition holds. */
  async function storeShows(holds: () => boolean): Promise<void> {
    if (holds()) return;
    await new Promise<void>((resolve) => {
      const unsubscribe = store.onChange(() => {
        if (!holds()) return;
        unsubscribe();
        resolve();
      });
    });
  }

  const lists = () => server.requests.filter(({ watch }) => !watch).length;

  test("follows additions, changes and deletions", async () => {
    put("c");
    put("a", "2");
    remove("b");
    await storeShows(() => names().join() === "a,c" && store.get("ns/a")?.data?.["value"] === "2");
    expect(lists()).toBe(1);
  });

  test("goes on where it was when the server ends the watch", async () => {
    server.endWatches();
    put("c");
    await storeShows(() => names().join() === "a,b,c");
    expect(lists()).toBe(1);
  });

  test("lists anew when the history is gone, and tells of what was deleted meanwhile", async () => {
    const deleted: string[] = [];
    store.onChange((change) => {
      if (change.type === "deleted") deleted.push(change.object.metadata.name);
    });
    server.faults = ({ watch }) => (watch ? { type: "answer", status: 500 } : undefined);
    server.endWatches();
    remove("b");
    put("c");
    server.storage.compact();
    server.faults = () => undefined;
    await storeShows(() => names().join() === "a,c");
    expect(deleted).toEqual(["b"]);
    expect(lists()).toBeGreaterThan(1);
  });

  test("survives every failure, without a storm of requests", async () => {
    let failures = 0;
    await new Promise<void>((resolve) => {
      server.faults = () => {
        failures += 1;
        if (failures === 8) resolve();
        return failures % 2 === 0 ? { type: "answer", status: 500 } : { type: "reset", when: "before" };
      };
      server.endWatches();
      put("c");
    });
    server.faults = () => undefined;
    await storeShows(() => names().join() === "a,b,c");
    const before = server.requests.length;
    put("d");
    await storeShows(() => names().join() === "a,b,c,d");
    expect(server.requests.length).toBe(before);
  });

  test("notices a watch that fell silent", async () => {
    server.sendBookmarks();
    server.silenceWatches();
    put("c");
    await storeShows(() => names().join() === "a,b,c");
    expect(lists()).toBe(1);
  });
});

describe("LeaderElector", () => {
  const times = { leaseDurationMs: 300, renewDeadlineMs: 200, retryPeriodMs: 20 };
  const elector = (identity: string) =>
    new LeaderElector(client(), silentLogger, { namespace: "ns", name: "lease", identity, ...times });
  const holder = () =>
    (
      server.storage.get({ resource: "coordination.k8s.io/leases", namespace: "ns", name: "lease" })?.["spec"] as
        { holderIdentity?: string } | undefined
    )?.holderIdentity;

  test("one leads at a time, and a released lease is taken at once", async () => {
    const [a, b] = [elector("a"), elector("b")];
    await a.acquire();
    const waiting = b.acquire();
    expect([a.isLeader, b.isLeader, holder()]).toEqual([true, false, "a"]);
    const startedMs = performance.now();
    await a.close();
    await waiting;
    expect(performance.now() - startedMs).toBeLessThan(times.leaseDurationMs);
    expect([a.isLeader, b.isLeader, holder()]).toEqual([false, true, "b"]);
    expect(a.assertLeader).toThrow(NotLeaderError);
    await b.close();
    expect(holder()).toBe("");
  });

  test("a holder that does not renew is replaced, and knows that it must not write before that", async () => {
    const a = elector("a");
    await a.acquire();
    server.faults = ({ write, path }) =>
      path.endsWith("/lease") && write ? { type: "answer", status: 500 } : undefined;
    await a.lost;
    expect(a.isLeader).toBe(false);
    server.faults = () => undefined;
    const b = elector("b");
    await b.acquire();
    expect([a.isLeader, b.isLeader, holder()]).toEqual([false, true, "b"]);
    await Promise.all([a.close(), b.close()]);
  });

  test("a lease that somebody else took is lost", async () => {
    const a = elector("a");
    await a.acquire();
    const address = { resource: "coordination.k8s.io/leases", namespace: "ns", name: "lease" };
    server.storage.patch(address, { spec: { holderIdentity: "thief", leaseDurationSeconds: 60 } });
    await a.lost;
    expect(holder()).toBe("thief");
    await a.close();
    expect(holder()).toBe("thief");
  });
});

describe("EventRecorder", () => {
  const regarding = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "ns", uid: "u" } };
  const note = (text: string) => ({ type: "Warning" as const, reason: "Blocked", action: "Reconcile", note: text });
  const events = () => server.storage.list("events.k8s.io/events");

  test("repetitions become a series of the first", async () => {
    let nowMs = 1_000_000;
    const recorder = new EventRecorder(client(), silentLogger, { controller: "c", instance: "i", now: () => nowMs });
    recorder.record(regarding, note("no"));
    await recorder.flush();
    for (let again = 0; again < 5; again += 1) {
      recorder.record(regarding, note("no"));
      await recorder.flush();
    }
    expect(events()).toHaveLength(1);
    // The second one is written at once, the next only after a minute.
    expect(events()[0]?.["series"]).toMatchObject({ count: 2 });
    nowMs += 61_000;
    recorder.record(regarding, note("no"));
    await recorder.flush();
    expect(events()[0]?.["series"]).toMatchObject({ count: 7 });
    nowMs += 7 * 60_000;
    recorder.record(regarding, note("no"));
    await recorder.flush();
    expect(events()).toHaveLength(2);
  });

  test("an object that causes too many loses the surplus", async () => {
    const recorder = new EventRecorder(client(), silentLogger, { controller: "c", instance: "i" });
    for (let number = 0; number < 100; number += 1) recorder.record(regarding, note(String(number)));
    await recorder.flush();
    expect(events()).toHaveLength(25);
  });

  test("an API server that refuses delays nobody and breaks nothing", async () => {
    server.faults = () => ({ type: "answer", status: 500 });
    const recorder = new EventRecorder(client(), silentLogger, { controller: "c", instance: "i" });
    recorder.record(regarding, note("no"));
    await recorder.flush();
    expect(events()).toHaveLength(0);
  });
});

test("health answers what it is told, and the metrics", async () => {
  let problem = "caches are not filled yet";
  const health = new HealthServer({
    address: "127.0.0.1:0",
    unready: () => problem,
    unhealthy: () => "",
    metrics: () => Promise.resolve({ contentType: "text/plain", text: "metric 1\n" }),
  });
  await health.open();
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${health.port}${path}`);
    return [answer.status, await answer.text()];
  };
  expect(await ask("/healthz")).toEqual([200, "ok\n"]);
  expect(await ask("/readyz")).toEqual([503, "caches are not filled yet\n"]);
  problem = "";
  expect(await ask("/readyz")).toEqual([200, "ok\n"]);
  expect(await ask("/metrics")).toEqual([200, "metric 1\n"]);
  expect(await ask("/other")).toEqual([404, "not found\n"]);
  await health.close();
});
