import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { etcdClient, type EtcdMessage, type EtcdTestClient, openDoors, type OpenDoors } from "../support/open-doors.ts";
import { RestTester } from "../support/rest-tester.ts";

let doors: OpenDoors;
let etcd: EtcdTestClient;
const bytes = (text: string): Buffer => Buffer.from(text);
const SOON = { timeout: 10_000 };
const ANN = 0x1234;
const BOB = 0x5678;

beforeEach(async () => {
  doors = await openDoors();
  etcd = etcdClient(`127.0.0.1:${doors.port}`);
  for (const ID of [ANN, BOB]) await etcd.call("Lease", "LeaseGrant", { ID, TTL: 60 });
});

afterEach(async () => {
  etcd.close();
  await doors.close();
});

const lock = (name: string, lease: number, options = {}): Promise<EtcdMessage> =>
  etcd.call("Lock", "Lock", { name: bytes(name), lease }, {}, options);
const unlock = (key: Buffer): Promise<EtcdMessage> => etcd.call("Lock", "Unlock", { key });
const election = (method: string, request: Record<string, unknown>, options = {}): Promise<EtcdMessage> =>
  etcd.call("Election", method, request, {}, options);
const campaign = (lease: number, value: string, options = {}): Promise<EtcdMessage> =>
  election("Campaign", { name: bytes("e"), lease, value: bytes(value) }, options);
const below = async (prefix: string): Promise<string[]> => {
  const end = bytes(prefix);
  end[end.length - 1]! += 1;
  const { kvs } = await etcd.call("KV", "Range", { key: bytes(prefix), range_end: end });
  return kvs.map(({ key }) => key.toString());
};
const contender = (prefix: string, key: string): Promise<boolean> =>
  expect
    .poll(() => below(prefix), SOON)
    .toContain(key)
    .then(() => true);

describe("etcd's lock service", () => {
  test("answers when the lock is held, and hands it on in the order of arrival", async () => {
    const { key } = await lock("m", ANN);
    expect(key.toString()).toBe("m/1234");
    // Whoever has it gets it again.
    expect((await lock("m", ANN)).key.toString()).toBe("m/1234");
    const waiting = lock("m", BOB);
    expect(await contender("m/", "m/5678")).toBe(true);
    await unlock(key);
    expect((await waiting).key.toString()).toBe("m/5678");
    expect(await below("m/")).toEqual(["m/5678"]);
  });

  test("a caller who gives up leaves the queue, and so does one whose lease ends", async () => {
    await lock("m", ANN);
    await expect(lock("m", BOB, { deadline: Date.now() + 300 })).rejects.toMatchObject({ code: 4 });
    await expect.poll(() => below("m/"), SOON).toEqual(["m/1234"]);
    const waiting = lock("m", BOB);
    expect(await contender("m/", "m/5678")).toBe(true);
    const refused = expect(waiting).rejects.toMatchObject({
      code: 5,
      details: "etcdserver: requested lease not found",
    });
    await etcd.call("Lease", "LeaseRevoke", { ID: BOB });
    await etcd.call("Lease", "LeaseRevoke", { ID: ANN });
    await refused;
    expect(await below("m/")).toEqual([]);
  });

  test("grants a lease of 60 s to who names none", async () => {
    const { key } = await lock("m", 0);
    const { kvs } = await etcd.call("KV", "Range", { key });
    const [row] = kvs;
    expect(key.toString()).toBe(`m/${BigInt(row?.lease ?? 0).toString(16)}`);
    expect(await etcd.call("Lease", "LeaseTimeToLive", { ID: row?.lease })).toMatchObject({ grantedTTL: "60" });
  });

  test("excludes the locks of the REST door", async () => {
    const rest = new RestTester(doors.url);
    try {
      await rest.post("/api/v1/locks/m", { leaseId: ANN.toString(16).padStart(16, "0") });
      await expect(lock("m", BOB, { deadline: Date.now() + 100 })).rejects.toMatchObject({ code: 4 });
    } finally {
      await rest.close();
    }
  });

  test("refuses what it cannot do", async () => {
    await expect(lock("m", 99)).rejects.toMatchObject({ details: "etcdserver: requested lease not found" });
    await expect(unlock(bytes(""))).rejects.toMatchObject({ details: "etcdserver: key is not provided" });
    expect((await unlock(bytes("none"))).header.revision).toBe("1");
  });
});

describe("etcd's election service", () => {
  test("one leads, proclaims, and resigns", async () => {
    const { leader } = await campaign(ANN, "v1");
    expect(leader).toEqual({ name: bytes("e"), key: bytes("e/1234"), rev: "2", lease: String(ANN) });
    // Campaigning again proclaims the new value.
    expect((await campaign(ANN, "v2")).leader).toEqual(leader);
    expect((await election("Leader", { name: bytes("e") })).kv).toMatchObject({ value: bytes("v2"), version: "2" });
    await election("Proclaim", { leader, value: bytes("v3") });
    expect((await election("Leader", { name: bytes("e") })).kv).toMatchObject({ value: bytes("v3") });
    const next = campaign(BOB, "w");
    expect(await contender("e/", "e/5678")).toBe(true);
    await election("Resign", { leader });
    expect((await next).leader.key.toString()).toBe("e/5678");
    await expect(election("Proclaim", { leader, value: bytes("v4") })).rejects.toMatchObject({
      code: 2,
      details: "election: not leader",
    });
    expect(await election("Resign", { leader })).toMatchObject({ header: {} });
    expect((await election("Leader", { name: bytes("e") })).kv).toMatchObject({ value: bytes("w") });
  });

  test("an observer sees every leader and every value, in order", async () => {
    const observer = etcd.serverStream("Election", "Observe", { name: bytes("e") });
    const { leader } = await campaign(ANN, "v1");
    const seen = async (): Promise<unknown> => {
      const { kv } = await observer.next();
      return [kv.key.toString(), kv.value.toString()];
    };
    expect(await seen()).toEqual(["e/1234", "v1"]);
    await election("Proclaim", { leader, value: bytes("v2") });
    await election("Proclaim", { leader, value: bytes("v3") });
    expect([await seen(), await seen()]).toEqual([
      ["e/1234", "v2"],
      ["e/1234", "v3"],
    ]);
    const next = campaign(BOB, "w");
    expect(await contender("e/", "e/5678")).toBe(true);
    await etcd.call("Lease", "LeaseRevoke", { ID: ANN });
    await next;
    expect(await seen()).toEqual(["e/5678", "w"]);
    observer.cancel();
    expect(await observer.ended).toMatchObject({ code: 1 });
  });

  test("a candidate who gives up leaves the queue", async () => {
    await campaign(ANN, "v");
    await expect(campaign(BOB, "w", { deadline: Date.now() + 300 })).rejects.toMatchObject({ code: 4 });
    await expect.poll(() => below("e/"), SOON).toEqual(["e/1234"]);
  });

  test.each<[string, string, Record<string, unknown>, string]>([
    ["nobody leads", "Leader", { name: bytes("e") }, "election: no leader"],
    ["no leader's key is named", "Proclaim", { value: bytes("v") }, '"leader" field must be provided'],
    ["no leader's key is named", "Resign", {}, '"leader" field must be provided'],
    ["the leader's key is empty", "Proclaim", { leader: {} }, "etcdserver: key is not provided"],
    ["the lease is none", "Campaign", { name: bytes("e"), lease: 9 }, "etcdserver: requested lease not found"],
  ])("refuses when %s: %s", async (_name, method, request, details) => {
    await expect(election(method, request)).rejects.toMatchObject({ details });
  });
});

describe("locks and elections at the JSON gateway", () => {
  const base64 = (text: string): string => bytes(text).toString("base64");
  const post = async (path: string, body: object): Promise<unknown> => {
    const answer = await fetch(doors.url + path, { method: "POST", body: JSON.stringify(body) });
    return answer.json();
  };

  test("have etcd's paths", async () => {
    expect(await post("/v3/lock/lock", { name: base64("m"), lease: ANN })).toMatchObject({ key: base64("m/1234") });
    expect(await post("/v3/lock/unlock", { key: base64("m/1234") })).toMatchObject({ header: { revision: "3" } });
    const won = await post("/v3/election/campaign", { name: base64("e"), lease: ANN, value: base64("v") });
    expect(won).toMatchObject({ leader: { name: base64("e"), key: base64("e/1234"), rev: "4", lease: String(ANN) } });
    const { leader } = won as { leader: object };
    await post("/v3/election/proclaim", { leader, value: base64("w") });
    expect(await post("/v3/election/leader", { name: base64("e") })).toMatchObject({ kv: { value: base64("w") } });
    const observed = await fetch(`${doors.url}/v3/election/observe`, {
      method: "POST",
      body: JSON.stringify({ name: base64("e") }),
    });
    const reader = observed.body!.getReader();
    const { value } = await reader.read();
    expect(JSON.parse(Buffer.from(value).toString())).toMatchObject({ result: { kv: { value: base64("w") } } });
    await reader.cancel();
    expect(await post("/v3/election/resign", { leader })).toMatchObject({ header: { revision: "6" } });
    expect(await post("/v3/election/leader", { name: base64("e") })).toMatchObject({ message: "election: no leader" });
  });

  test("a client that goes away leaves the queue", async () => {
    await lock("m", ANN);
    const gone = new AbortController();
    const body = JSON.stringify({ name: base64("m"), lease: BOB });
    const waiting = fetch(`${doors.url}/v3/lock/lock`, { method: "POST", body, signal: gone.signal });
    expect(await contender("m/", "m/5678")).toBe(true);
    gone.abort();
    await expect(waiting).rejects.toThrow();
    await expect.poll(() => below("m/"), SOON).toEqual(["m/1234"]);
  });
});
