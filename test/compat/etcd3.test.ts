import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError, type IKeyValue } from "etcd3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ProcessCluster } from "../chaos/cluster.ts";
import { LeaderKills } from "./kills.ts";

// The npm package etcd3 as its users have it, with its own retries.

const WAIT = { timeout: 60_000, interval: 20 };
const RETRY_MS = 50;
/** Users of the same software transaction. */
const SIDES = 3;

let cluster: ProcessCluster;
let kills: LeaderKills;
let etcd: Etcd3;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  kills = new LeaderKills(cluster);
});

afterAll(async () => {
  await cluster.stop();
});

beforeEach(async () => {
  await kills.healthy();
  etcd = new Etcd3({ hosts: cluster.endpoints });
});

afterEach(() => {
  etcd.close();
});

/** Until it works: a cluster without a leader takes nothing for a while. */
async function persist<T>(attempt: () => PromiseLike<T>): Promise<T> {
  for (const deadline = performance.now() + WAIT.timeout; ;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(RETRY_MS);
    }
  }
}

describe("keys", () => {
  test("values, numbers, JSON and what is not there", async () => {
    await etcd.put("kv/text").value("ä\u{1F511}");
    await etcd.put("kv/number").value(7);
    await etcd.put("kv/json").value('{"a":[1]}');
    expect(await etcd.get("kv/text").string()).toBe("ä\u{1F511}");
    expect(await etcd.get("kv/number").number()).toBe(7);
    expect(await etcd.get("kv/json").json()).toEqual({ a: [1] });
    expect(await etcd.get("kv/none")).toBeNull();
    expect(await etcd.get("kv/none").exists()).toBe(false);
    const previous = await etcd.put("kv/number").value(8).getPrevious();
    expect(previous).toMatchObject({ value: Buffer.from("7"), version: "1" });
    expect(await etcd.get("kv/number").revision(previous.mod_revision).number()).toBe(7);
  });

  test("ranges, pages, orders and deletes", async () => {
    for (const key of ["a", "b", "c", "d"]) await etcd.put(`range/${key}`).value(key);
    await etcd.put("range/a").value("z");
    expect(await etcd.getAll().prefix("range/").strings()).toEqual({
      "range/a": "z",
      "range/b": "b",
      "range/c": "c",
      "range/d": "d",
    });
    expect(await etcd.getAll().prefix("range/").sort("Mod", "Descend").limit(2).keys()).toEqual(["range/a", "range/d"]);
    expect(await etcd.getAll().inRange({ start: "range/b", end: "range/d" }).count()).toBe(2);
    expect(await etcd.delete().inRange({ start: "range/b", end: "range/d" }).getPrevious()).toHaveLength(2);
    expect((await etcd.delete().prefix("range/")).deleted).toBe("2");
  });

  test("a namespace sees its own keys alone", async () => {
    const [one, other] = [etcd.namespace("ns/1/"), etcd.namespace("ns/2/")];
    await one.put("key").value("one");
    await other.put("key").value("other");
    expect(await one.getAll().keys()).toEqual(["key"]);
    expect(await etcd.get("ns/1/key").string()).toBe("one");
    await one.delete().all();
    expect(await other.get("key").string()).toBe("other");
  });

  test("compares decide which branch is taken", async () => {
    const write = async (wanted: string) =>
      etcd
        .if("if/a", "Value", "==", wanted)
        .and("if/none", "Create", "==", 0)
        .then(etcd.put("if/a").value("new"))
        .else(etcd.get("if/a"))
        .commit();
    await etcd.put("if/a").value("old");
    expect(await write("other")).toMatchObject({ succeeded: false, responses: [{ response_range: { count: "1" } }] });
    expect(await write("old")).toMatchObject({ succeeded: true });
    expect(await etcd.get("if/a").string()).toBe("new");
  });
});

describe("while leaders are killed", () => {
  test("a lease is kept alive, and its keys go with it", async () => {
    const lease = etcd.lease(12);
    const lost: unknown[] = [];
    lease.on("lost", (error) => lost.push(error));
    await lease.put("lease/key").value("kept");
    await kills.kill();
    for (let renewals = 0; renewals < 3; renewals += 1) await once(lease, "keepaliveSucceeded");
    expect(lost).toEqual([]);
    await persist(async () => lease.revoke());
    expect(await etcd.get("lease/key").string()).toBeNull();
    await expect(etcd.put("lease/key").value("late").lease("4711").exec()).rejects.toThrow(EtcdLeaseInvalidError);
  });

  test("a watch sees every change that was answered, once and in order", async () => {
    const watcher = await etcd.watch().prefix("watch/").create();
    const seen: { key: string; revision: number }[] = [];
    const note = (row: IKeyValue): number => seen.push({ key: row.key.toString(), revision: Number(row.mod_revision) });
    watcher.on("put", note).on("delete", note);
    const told: typeof seen = [];
    const write = async (at: number): Promise<void> => {
      const key = `watch/${at % 7}`;
      const { header } = at % 5 === 4 ? await etcd.delete().key(key) : await etcd.put(key).value(at);
      if (at % 5 !== 4) told.push({ key, revision: Number(header.revision) });
    };
    let killing: Promise<void> | undefined;
    for (let at = 0; at < 500; at += 1) {
      if (at === 100) killing = kills.kill();
      await write(at).catch(() => delay(RETRY_MS));
    }
    await killing;
    await persist(async () => etcd.put("watch/end").value("").exec());
    await vi.waitFor(() => expect(seen.at(-1)?.key).toBe("watch/end"), WAIT);
    await watcher.cancel();
    const revisions = seen.map(({ revision }) => revision);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    expect(told.length).toBeGreaterThan(100);
    const at = new Map(seen.map((each) => [each.revision, each.key]));
    expect(told.filter(({ key, revision }) => at.get(revision) !== key)).toEqual([]);
  });

  test("a lock has one holder at a time", async () => {
    let holders = 0;
    let counted = 0;
    const count = async (): Promise<void> => {
      const lock = await persist(async () => etcd.lock("lock").ttl(12).acquire());
      holders += 1;
      expect(holders).toBe(1);
      const before = (await persist(async () => etcd.get("locked").number())) ?? 0;
      await persist(async () =>
        etcd
          .put("locked")
          .value(before + 1)
          .exec(),
      );
      holders -= 1;
      counted += 1;
      await persist(async () => lock.release());
    };
    const all = Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let round = 0; round < 5; round += 1) await count();
      }),
    );
    await vi.waitFor(() => expect(counted).toBeGreaterThan(1), WAIT);
    await kills.kill();
    await all;
    expect(await etcd.get("locked").number()).toBe(20);
    const held = await etcd.lock("held").acquire();
    await expect(etcd.lock("held").acquire()).rejects.toThrow(EtcdLockFailedError);
    await held.release();
  });

  test("an election has one leader, and hands over", async () => {
    const election = etcd.election("office", 12);
    const first = election.campaign("first");
    await first.wait();
    const observer = await election.observe();
    expect(await election.leader()).toBe("first");
    const second = election.campaign("second");
    const errors: unknown[] = [];
    for (const each of [first, second, observer]) each.on("error", (error: unknown) => errors.push(error));
    await kills.kill();
    await persist(async () => first.proclaim("still the first"));
    await vi.waitFor(() => expect(observer.leader()).toBe("still the first"), WAIT);
    await persist(async () => first.resign());
    await vi.waitFor(async () => expect(await election.leader()).toBe("second"), WAIT);
    await vi.waitFor(() => expect(observer.leader()).toBe("second"), WAIT);
    await observer.cancel();
    await persist(async () => second.resign());
    expect(errors).toEqual([]);
  });

  test("software transactions lose no update", async () => {
    await etcd.put("stm").value(0);
    let done = 0;
    let tried = 0;
    const add = async (): Promise<void> => {
      tried += 1;
      await etcd.stm({ retries: 100 }).transact(async (tx) => {
        await tx.put("stm").value(Number(await tx.get("stm").number()) + 1);
      });
      done += 1;
    };
    const all = Promise.all(
      Array.from({ length: SIDES }, async () => {
        for (let round = 0; round < 30; round += 1) await add().catch(() => delay(RETRY_MS));
      }),
    );
    await vi.waitFor(() => expect(done).toBeGreaterThan(10), WAIT);
    await kills.kill();
    await all;
    const sum = Number(await persist(async () => etcd.get("stm").number()));
    // A commit whose answer was lost may have happened, and the client itself then runs the transaction once more.
    expect(sum).toBeGreaterThanOrEqual(done);
    expect(sum).toBeLessThanOrEqual(tried + SIDES);
  });
});
