import { credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AcquiredLock, type GrantedLease } from "../../node/client/rest.ts";
import { etcdClient, openDoors, type OpenDoors } from "../support/open-doors.ts";
import { RestTester } from "../support/rest-tester.ts";

let doors: OpenDoors;
let rest: RestTester;

beforeEach(async () => {
  doors = await openDoors();
  rest = new RestTester(doors.url);
});

afterEach(async () => {
  await rest.close();
  await doors.close();
});

const lock = (body: object, name = "l"): Promise<AcquiredLock> =>
  rest.post<AcquiredLock>(`/api/v1/locks/${name}`, body);
const unlock = (held: AcquiredLock): Promise<unknown> =>
  rest.send("DELETE", `/api/v1/locks/${held.name}/${held.leaseId}`);
const contenders = async (): Promise<number> =>
  (await rest.get<{ count: number }>("/api/v1/kv?prefix=l/&keysOnly=true")).count;

describe("locks over REST", () => {
  test("one holds it, the next one gets it with a greater token", async () => {
    const first = await lock({ ttlSeconds: 60 });
    expect(first).toMatchObject({
      name: "l",
      fencingToken: 2,
      keyText: `l/${BigInt(`0x${first.leaseId}`).toString(16)}`,
    });
    expect(await rest.get(`/api/v1/kv/${first.keyText ?? ""}`)).toMatchObject({
      lease: first.leaseId,
      createRevision: first.fencingToken,
    });
    expect((await rest.refusal("POST", "/api/v1/locks/l", { ttlSeconds: 60 })).code).toBe("CONCORD_LOCK_HELD");
    expect(await contenders()).toBe(1);
    expect(doors.node.leases()).toHaveLength(1);

    const second = lock({ ttlSeconds: 60, waitMs: 10_000 });
    await expect.poll(contenders).toBe(2);
    expect(await unlock(first)).toMatchObject({ deleted: 1 });
    expect((await second).fencingToken).toBeGreaterThan(first.fencingToken);
    expect(await unlock(first)).toMatchObject({ deleted: 0 });
  });

  test("those who wait get it in the order they came", async () => {
    const first = await lock({ ttlSeconds: 60 });
    const order: number[] = [];
    const waiting: Promise<AcquiredLock>[] = [];
    for (const number of [1, 2, 3]) {
      const acquired = lock({ ttlSeconds: 60, waitMs: 10_000 });
      waiting.push(acquired);
      void acquired.then(() => order.push(number));
      await expect.poll(contenders).toBe(number + 1);
    }
    await unlock(first);
    for (const each of waiting) await unlock(await each);
    expect(order).toEqual([1, 2, 3]);
  });

  test("whoever gives up in the middle of the queue lets nobody pass the holder", async () => {
    const first = await lock({ ttlSeconds: 60 });
    const second = rest.refusal("POST", "/api/v1/locks/l", { ttlSeconds: 60, waitMs: 100 });
    await expect.poll(contenders).toBe(2);
    const third = lock({ ttlSeconds: 60, waitMs: 10_000 });
    expect((await second).code).toBe("CONCORD_LOCK_HELD");
    await expect.poll(contenders).toBe(2);
    let done = false;
    void third.then(() => (done = true));
    await rest.get("/api/v1/kv?prefix=l/");
    expect(done).toBe(false);
    await unlock(first);
    expect((await third).fencingToken).toBeGreaterThan(first.fencingToken);
  });

  test("a lease of the caller's: its end is the end of the lock, and it holds a lock once", async () => {
    const { id } = await rest.post<GrantedLease>("/api/v1/leases", { ttlSeconds: 60 });
    const held = await lock({ leaseId: id });
    expect(held.leaseId).toBe(id);
    expect(await lock({ leaseId: id })).toEqual(held);
    const next = lock({ ttlSeconds: 60, waitMs: 10_000 });
    await expect.poll(contenders).toBe(2);
    await rest.send("DELETE", `/api/v1/leases/${id}`);
    expect((await next).fencingToken).toBeGreaterThan(held.fencingToken);
  });

  test("a lease that ends during the wait ends the wait's success", async () => {
    const first = await lock({ ttlSeconds: 60 });
    const { id } = await rest.post<GrantedLease>("/api/v1/leases", { ttlSeconds: 60 });
    const waiting = rest.refusal("POST", "/api/v1/locks/l", { leaseId: id, waitMs: 10_000 });
    await expect.poll(contenders).toBe(2);
    await rest.send("DELETE", `/api/v1/leases/${id}`);
    await unlock(first);
    expect((await waiting).code).toBe("CONCORD_LEASE_NOT_FOUND");
  });

  test("a client that leaves gives up its place and the lease that was made for it", async () => {
    const first = await lock({ ttlSeconds: 60 });
    const abort = new AbortController();
    const left = fetch(`${doors.url}/api/v1/locks/l`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ttlSeconds: 60, waitMs: 10_000 }),
      signal: abort.signal,
    }).catch((error: unknown) => error);
    await expect.poll(contenders).toBe(2);
    abort.abort();
    await left;
    await expect.poll(contenders).toBe(1);
    await expect.poll(() => doors.node.leases().length).toBe(1);
    await unlock(first);
    expect(await contenders()).toBe(0);
  });

  test("a server that stops ends the wait", async () => {
    await lock({ ttlSeconds: 60 });
    const waiting = rest.refusal("POST", "/api/v1/locks/l", { ttlSeconds: 60, waitMs: 10_000 });
    await expect.poll(contenders).toBe(2);
    await doors.close();
    expect(["CONCORD_STOPPED", "CONCORD_OUTCOME_UNKNOWN"]).toContain((await waiting).code);
    doors = await openDoors();
  });

  test("a mutex of etcd's clients and a lock exclude each other", async () => {
    const client = etcdClient(`127.0.0.1:${doors.port}`, credentials.createInsecure());
    try {
      // What clientv3/concurrency does: a key below the name, of the session's lease.
      await client.call("Lease", "LeaseGrant", { ID: "255", TTL: "60" });
      await client.call("KV", "Put", { key: Buffer.from("l/ff"), lease: "255" });
      expect((await rest.refusal("POST", "/api/v1/locks/l", { ttlSeconds: 60 })).code).toBe("CONCORD_LOCK_HELD");
      const waiting = lock({ ttlSeconds: 60, waitMs: 10_000 });
      await expect.poll(contenders).toBe(2);
      await client.call("KV", "DeleteRange", { key: Buffer.from("l/ff") });
      expect((await waiting).fencingToken).toBeGreaterThan(2);
    } finally {
      client.close();
    }
  });

  test("locks do not see those whose names begin alike", async () => {
    await lock({ ttlSeconds: 60 }, "l");
    await lock({ ttlSeconds: 60 }, "ll");
    expect((await lock({ ttlSeconds: 60 }, "a%2Fb")).name).toBe("a/b");
    expect((await rest.refusal("POST", "/api/v1/locks/a%2fb", { ttlSeconds: 60 })).code).toBe("CONCORD_LOCK_HELD");
  });

  test.each<[string, "GET" | "POST" | "DELETE", string, unknown, string]>([
    ["no lease", "POST", "l", {}, "CONCORD_INVALID_ARGUMENT"],
    ["two leases", "POST", "l", { ttlSeconds: 60, leaseId: "00000000000000ff" }, "CONCORD_INVALID_ARGUMENT"],
    ["a lease that is not there", "POST", "l", { leaseId: "00000000000000ff" }, "CONCORD_LEASE_NOT_FOUND"],
    ["a wait below zero", "POST", "l", { ttlSeconds: 60, waitMs: -1 }, "CONCORD_INVALID_ARGUMENT"],
    ["a wait beyond the longest", "POST", "l", { ttlSeconds: 60, waitMs: 60_001 }, "CONCORD_INVALID_ARGUMENT"],
    ["an empty name", "POST", "", { ttlSeconds: 60 }, "CONCORD_KEY_EMPTY"],
    ["a name of 1008 bytes", "POST", "l".repeat(1008), { ttlSeconds: 60 }, "CONCORD_INVALID_ARGUMENT"],
    ["a name that is no UTF-8", "POST", "%ff", { ttlSeconds: 60 }, "CONCORD_INVALID_ARGUMENT"],
    ["a name with a bare slash", "POST", "a/b", { ttlSeconds: 60 }, "CONCORD_METHOD_NOT_ALLOWED"],
    ["a release without a lease", "DELETE", "l", undefined, "CONCORD_METHOD_NOT_ALLOWED"],
    ["a release by a name", "DELETE", "l/me", undefined, "CONCORD_INVALID_ARGUMENT"],
    ["a look at a lock", "GET", "l", undefined, "CONCORD_METHOD_NOT_ALLOWED"],
  ])("%s is refused", async (_what, method, path, body, code) => {
    const error = await rest.refusal(method, `/api/v1/locks/${path}`, body);
    expect(error.code).toBe(code);
    expect(error.message).not.toMatch(/\n|\.ts:/);
    expect(doors.node.leases()).toEqual([]);
    expect(await contenders()).toBe(0);
  });
});
