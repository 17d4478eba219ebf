import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { Concord, type OpenOptions, op, when } from "../../node/index.ts";
import { freePort } from "../support/free-port.ts";
import { NameServer } from "../support/name-server.ts";

const open: Concord[] = [];
const directories: string[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map(async (store) => store.close()));
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

async function start(options: OpenOptions): Promise<Concord> {
  const store = await Concord.open(options);
  open.push(store);
  return store;
}

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "concord-embed-"));
  directories.push(directory);
  return directory;
}

describe("a store in memory", () => {
  test("reads at once what it wrote", async () => {
    const store = await start({ memory: true });
    const { revision } = await store.put("flags/a", "on");
    expect(store.get("flags/a")).toMatchObject({ key: "flags/a", modRevision: revision, version: 1 });
    expect(store.get("flags/a")?.text()).toBe("on");
    expect(store.get("flags/b")).toBeUndefined();
    await store.put("flags/a", JSON.stringify({ on: false }));
    expect((await store.read("flags/a"))?.json()).toEqual({ on: false });
    expect(store.get("flags/a", { revision })?.text()).toBe("on");
    await store.put("flags/b", Uint8Array.of(0, 255));
    expect((await store.list({ prefix: "flags/" })).map(({ key }) => key)).toEqual(["flags/a", "flags/b"]);
    expect((await store.list({ from: "flags/b", to: "z" }, { limit: 1 }))[0]?.value).toEqual(Uint8Array.of(0, 255));
    const prefix = Buffer.from("flags/");
    expect(await store.list({ prefix })).toHaveLength(2);
    expect(prefix.toString()).toBe("flags/");
    expect(await store.delete({ prefix: "flags/" })).toMatchObject({ deleted: 2 });
    expect(await store.list({ prefix: "" })).toEqual([]);
  });

  test("knows what became of a key, newest first", async () => {
    const store = await start({ memory: true });
    const first = await store.put("limit", "10");
    await store.put("other", "x");
    await store.put("limit", "20");
    const { revision } = await store.delete("limit");
    const { changes, more } = await store.history("limit");
    expect(changes.map(({ type, value }) => [type, value?.text()])).toEqual([
      ["delete", undefined],
      ["put", "20"],
      ["put", "10"],
    ]);
    expect([changes[0]?.revision, changes[2]?.revision, more]).toEqual([revision, first.revision, false]);
    const page = await store.history("limit", { limit: 1, toRevision: revision - 1 });
    expect([page.changes[0]?.value?.text(), page.more]).toEqual(["20", true]);
    await store.compact(revision);
    await expect(store.history("limit", { fromRevision: 1 })).rejects.toMatchObject({ code: "CONCORD_COMPACTED" });
  });

  test("changes several keys together or not at all", async () => {
    const store = await start({ memory: true });
    const take = { if: [when.missing("lock")], then: [op.put("lock", "me")], else: [op.get({ key: "lock" })] };
    expect(await store.txn(take)).toMatchObject({ succeeded: true });
    expect(await store.txn(take)).toMatchObject({ succeeded: false, replies: [{ type: "range", count: 1 }] });
    const { modRevision } = (await store.read("lock")) ?? { modRevision: 0 };
    const release = { if: [when.modRevision("lock", modRevision)], then: [op.delete({ key: "lock" })] };
    expect(await store.txn(release)).toMatchObject({ succeeded: true });
  });

  test("refuses a number that no entry of the log can hold, and goes on", async () => {
    const store = await start({ memory: true });
    const bare = { key: Buffer.from("k"), rangeEnd: Buffer.alloc(0) };
    const compare = { ...bare, target: "mod", result: "equal", operand: 2 ** 60 } as const;
    const write = { if: [compare], then: [op.put("k", "v")] };
    const invalid = { code: "CONCORD_INVALID_ARGUMENT" };
    expect(() => when.modRevision("k", 2 ** 60)).toThrow(expect.objectContaining(invalid) as Error);
    await expect(store.txn(write)).rejects.toMatchObject(invalid);
    await expect(store.txn(write, { idempotencyKey: Buffer.from("once") })).rejects.toMatchObject(invalid);
    await expect(store.compact(1.5)).rejects.toMatchObject(invalid);
    expect(await store.put("k", "v")).toEqual({ revision: 2 });
    await expect(store.list({ prefix: "" }, { limit: 0.5 })).rejects.toMatchObject(invalid);
    await expect(store.history("k", { toRevision: NaN })).rejects.toMatchObject(invalid);
    expect(() => store.get("k", { revision: 1.5 })).toThrow(expect.objectContaining(invalid) as Error);
  });

  test("tells a watch of every change from where it began", async () => {
    const store = await start({ memory: true });
    const stop = new AbortController();
    const watch = store.watch({ prefix: "k" }, { previous: true, signal: stop.signal });
    await store.put("k1", "a");
    await store.put("other", "x");
    await store.put("k1", "b");
    await store.delete("k1");
    const seen: string[] = [];
    for await (const { type, key, value, previous } of watch) {
      seen.push(`${type} ${key} ${value?.text() ?? "-"} ${previous?.text() ?? "-"}`);
      if (seen.length === 3) stop.abort();
    }
    expect(seen).toEqual(["put k1 a -", "put k1 b a", "delete k1 - b"]);
  });

  test("says so when compaction overtakes a watch or a read", async () => {
    const store = await start({ memory: true });
    await store.put("k", "1");
    const { revision } = await store.put("k", "2");
    await store.compact(revision);
    await expect(store.watch({ key: "k" }, { fromRevision: revision }).next()).resolves.toMatchObject({
      value: { type: "put", revision },
    });
    await expect(store.watch({ key: "k" }, { fromRevision: 2 }).next()).rejects.toMatchObject({
      code: "CONCORD_COMPACTED",
      details: { compactRevision: revision },
    });
    expect(() => store.get("k", { revision: 2 })).toThrow(expect.objectContaining({ code: "CONCORD_COMPACTED" }));
    expect(() => store.get("k", { revision: 99 })).toThrow(
      expect.objectContaining({ code: "CONCORD_FUTURE_REVISION" }),
    );
    expect(() => store.get("")).toThrow(expect.objectContaining({ code: "CONCORD_KEY_EMPTY" }));
  });

  test("leaves the program's signals alone, and refuses what comes after its end", async () => {
    const before = process.listenerCount("SIGTERM") + process.listenerCount("SIGINT");
    const store = await start({ memory: true });
    expect(process.listenerCount("SIGTERM") + process.listenerCount("SIGINT")).toBe(before);
    await store.close();
    await expect(store.put("a", "b")).rejects.toMatchObject({ code: "CONCORD_STOPPED" });
    expect(() => store.get("a")).toThrow(expect.objectContaining({ code: "CONCORD_STOPPED" }));
  });
});

test("a store on disk finds its data again, and has its directory alone", async () => {
  const dataDir = temporaryDirectory();
  {
    await using store = await Concord.open({ dataDir });
    await store.put("a", "1");
    await expect(Concord.open({ dataDir })).rejects.toMatchObject({ code: "CONCORD_DATA_DIR_LOCKED" });
  }
  const again = await start({ dataDir });
  expect(again.get("a")?.text()).toBe("1");
});

test("a store on disk answers a watch from the compacted revision as before its restart", async () => {
  const dataDir = temporaryDirectory();
  const take = async (store: Concord, fromRevision: number): Promise<string[]> => {
    const seen: string[] = [];
    for await (const { type, key, revision, previous } of store.watch({ prefix: "" }, { fromRevision, previous: true }))
      if (seen.push(`${revision} ${type} ${key} ${previous?.text() ?? "-"}`) === 3) break;
    return seen;
  };
  const expected = ["4 delete a -", "4 delete b -", "5 put c -"];
  {
    await using store = await Concord.open({ dataDir });
    await store.put("a", "1");
    await store.put("b", "1");
    await store.delete({ prefix: "" });
    await store.put("c", "1");
    await store.compact(4);
    expect(await take(store, 4)).toEqual(expected);
  }
  const again = await start({ dataDir });
  expect(await take(again, 4)).toEqual(expected);
  await expect(again.watch({ prefix: "" }, { fromRevision: 3 }).next()).rejects.toMatchObject({
    code: "CONCORD_COMPACTED",
  });
});

test("a row with a time to live ends in a delete, unless it is touched", async () => {
  const store = await start({ memory: true });
  const watch = store.watch({ prefix: "" });
  const { revision } = await store.put("short", "v", { ttlMs: 300 });
  await store.txn({ then: [op.put("touched", "v", { ttlMs: 300 }), op.touch("touched", 60_000)] });
  expect(store.get("short")?.ttlMs).toBeGreaterThan(0);
  const seen: string[] = [];
  for await (const { type, key } of watch) if (seen.push(`${type} ${key}`) === 3) break;
  expect(seen).toEqual(["put short", "put touched", "delete short"]);
  expect(store.get("short")).toBeUndefined();
  expect(store.get("short", { revision })).toMatchObject({ version: 1, ttlMs: undefined });
  expect(store.get("touched")?.ttlMs).toBeGreaterThan(30_000);
  expect(await store.touch("touched", 0)).toBe(true);
  expect(store.get("touched")?.ttlMs).toBeUndefined();
  expect(await store.touch("short", 5)).toBe(false);
  await expect(store.put("k", "v", { ttlMs: 0.5 })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
});

test("three programs form one store", async () => {
  const ports = [await freePort(), await freePort(), await freePort()];
  const members = ports.map((port, at) => ({ name: `m${at}`, peerUrls: [`http://127.0.0.1:${port}`] }));
  const stores = await Promise.all(
    members.map(async ({ name }) => start({ memory: true, name, cluster: { members } })),
  );
  const [first, second, third] = stores as [Concord, Concord, Concord];
  await first.put("k", "from the first");
  expect((await second.read("k"))?.text()).toBe("from the first");
  await second.put("k", "from the second");
  expect((await third.read("k"))?.text()).toBe("from the second");
  expect(new Set(stores.map((store) => store.status().leaderId)).size).toBe(1);

  // A read says what it is worth, and holds to what it is asked for.
  const { leaderId } = first.status();
  const leading = stores.find((store) => store.status().memberId === leaderId) as Concord;
  const following = stores.find((store) => store !== leading) as Concord;
  expect(await leading.page({ key: "k" })).toMatchObject({ consistency: "leader", stalenessMs: 0, count: 1 });
  expect(await following.page({ key: "k" }, { consistency: "leader" })).toMatchObject({ consistency: "strong" });
  const { revision } = await leading.put("k", "newer");
  const seen = await following.page({ key: "k" }, { consistency: "eventual", minRevision: revision });
  expect(seen.revision).toBe(revision);
  expect(seen.rows[0]?.text()).toBe("newer");
  const old = await following.page({ key: "k" }, { consistency: "eventual", maxStalenessMs: 3_600_000 });
  expect(old).toMatchObject({ consistency: "eventual", term: seen.term });
  expect(old.stalenessMs).toBeLessThan(3_600_000);
  const fresh = { consistency: "eventual", maxStalenessMs: 0 } as const;
  expect(await following.page({ key: "k" }, fresh)).toMatchObject({ consistency: "strong", stalenessMs: 0 });
  await expect(
    following.page({ key: "k" }, { consistency: "eventual", minRevision: revision + 1000 }),
  ).rejects.toMatchObject({ code: "CONCORD_FUTURE_REVISION" });

  // Whichever member takes an attempt, and whoever leads: one write, one revision.
  const once = { idempotencyKey: Buffer.from("k1") };
  const written = await first.put("once", "1", once);
  expect(await Promise.all(stores.map(async (store) => store.put("once", "1", once)))).toEqual(
    stores.map(() => written),
  );
  const leader = stores.find((store) => store.status().leaderId === store.status().memberId);
  await leader?.close();
  const rest = stores.filter((store) => store !== leader);
  expect(await Promise.all(rest.map(async (store) => store.put("once", "1", once)))).toEqual(rest.map(() => written));

  // Without a quorum what is here can be read, but not when it must be fresh.
  const [last, other] = rest as [Concord, Concord];
  await other.close();
  expect(await last.page({ key: "once" }, { consistency: "eventual" })).toMatchObject({ consistency: "eventual" });
  await expect(last.page({ key: "once" }, { ...fresh, timeoutMs: 500 })).rejects.toMatchObject({
    code: expect.stringMatching(/^CONCORD_(NO_LEADER|TIMEOUT)$/) as string,
  });
});

test("three programs find each other by the SRV records of a service, as those come", async () => {
  const ports = [await freePort(), await freePort(), await freePort()];
  const targets = ports.map((port, at) => ({ host: `m${at}.localhost`, port }));
  const services: Record<string, typeof targets> = { "_peer._tcp.app.test": targets.slice(0, 2) };
  const server = await NameServer.start({ services });
  try {
    const members = { service: "_peer._tcp.app.test", size: 3, servers: [server.address] };
    const directory = temporaryDirectory();
    const opening = targets.map(({ host }, at) => {
      const name = host.split(".", 1)[0] ?? "";
      const place = at === 2 ? { dataDir: directory } : ({ memory: true } as const);
      return start({ ...place, name, cluster: { members, listenPeerUrls: [`http://127.0.0.1:${ports[at]}`] } });
    });
    // Two records are not enough, and everybody looks again.
    await expect.poll(() => server.asked.length, { timeout: 20_000 }).toBeGreaterThan(3);
    services["_peer._tcp.app.test"] = targets;
    const [first, second, third] = (await Promise.all(opening)) as [Concord, Concord, Concord];
    await first.put("k", "v");
    expect((await second.read("k"))?.text()).toBe("v");
    expect(third.status().members.map(({ name }) => name)).toEqual(expect.arrayContaining(["m0", "m1", "m2"]));

    // A member that has its data needs to find itself alone.
    await third.close();
    services["_peer._tcp.app.test"] = targets.slice(2);
    const cluster = { members, listenPeerUrls: [`http://127.0.0.1:${ports[2]}`] };
    const again = await start({ dataDir: directory, name: "m2", cluster });
    expect((await again.read("k"))?.text()).toBe("v");
  } finally {
    await server.close();
  }
});

test("a service that does not name enough members is told of in one sentence", async () => {
  const server = await NameServer.start({ services: { "_peer._tcp.app.test": [{ host: "m0.localhost", port: 1 }] } });
  try {
    const members = { service: "_peer._tcp.app.test", size: 3, servers: [server.address] };
    await expect(start({ memory: true, name: "m0", readyTimeoutMs: 100, cluster: { members } })).rejects.toMatchObject({
      code: "CONCORD_TIMEOUT",
      message: 'The service _peer._tcp.app.test did not name 3 members, "m0" among them: found m0.localhost:1',
    });
    await expect(start({ memory: true, cluster: { members: { ...members, size: 0 } } })).rejects.toMatchObject({
      code: "CONCORD_CONFIGURATION_INVALID",
    });
  } finally {
    await server.close();
  }
});

test.each<[string, object, RegExp]>([
  ["neither place", {}, /Expected either dataDir or memory: true/],
  ["both places", { memory: true, dataDir: "/nowhere" }, /Expected either dataDir or memory: true/],
  ["an empty name", { memory: true, name: "" }, /name is "", expected a name/],
  [
    "heartbeats slower than elections",
    { memory: true, heartbeatMs: 200, electionTimeoutMs: 300 },
    /heartbeatMs is 200/,
  ],
  ["a cluster without itself", { memory: true, cluster: { members: [] } }, /cluster\.members has no "default"/],
  [
    "https without certificates",
    { memory: true, cluster: { members: [{ name: "default", peerUrls: ["https://localhost:1"] }] } },
    /https, expected cluster\.tls/,
  ],
])("options with %s are refused with one sentence", async (_, options, sentence) => {
  await expect(Concord.open(options as OpenOptions)).rejects.toMatchObject({
    code: "CONCORD_CONFIGURATION_INVALID",
    message: expect.stringMatching(sentence) as string,
  });
});
