import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { etcdClient, type EtcdTestClient, openDoors, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let etcd: EtcdTestClient;
const bytes = (text: string): Buffer => Buffer.from(text);

beforeEach(async () => {
  doors = await openDoors();
  etcd = etcdClient(`127.0.0.1:${doors.port}`);
});

afterEach(async () => {
  etcd.close();
  await doors.close();
});

const grant = (ID: string | number, TTL: string | number) => etcd.call("Lease", "LeaseGrant", { ID, TTL });

describe("Lease", () => {
  test("a lease is granted under the id that was asked for, or one of the server's", async () => {
    expect(await grant(7, 60)).toMatchObject({ ID: "7", TTL: "60", header: { revision: "1" } });
    const chosen = await grant(0, 1);
    expect(BigInt(chosen.ID)).toBeGreaterThan(0n);
    expect(chosen.TTL).toBe("2");
    expect(await grant("-9223372036854775808", -1)).toMatchObject({ ID: "-9223372036854775808", TTL: "2" });
    const { leases } = await etcd.call("Lease", "LeaseLeases", {});
    expect(new Set(leases.map(({ ID }) => ID))).toEqual(new Set(["7", chosen.ID, "-9223372036854775808"]));
  });

  test("its keys go with it, in one revision", async () => {
    await grant(7, 60);
    for (const key of ["b", "a"]) await etcd.call("KV", "Put", { key: bytes(key), value: bytes("1"), lease: 7 });
    const known = await etcd.call("Lease", "LeaseTimeToLive", { ID: 7, keys: true });
    expect(known).toMatchObject({ ID: "7", grantedTTL: "60", keys: [bytes("a"), bytes("b")] });
    expect(["58", "59", "60"]).toContain(known.TTL);
    const { kvs } = await etcd.call("KV", "Range", { key: bytes("a") });
    expect(kvs[0]).toMatchObject({ lease: "7" });
    expect((await etcd.call("Lease", "LeaseRevoke", { ID: 7 })).header.revision).toBe("4");
    expect((await etcd.call("KV", "Range", { key: bytes("a"), range_end: bytes("z") })).count).toBe("0");
    expect(await etcd.call("Lease", "LeaseTimeToLive", { ID: 7 })).toMatchObject({ TTL: "-1", grantedTTL: "0" });
  });

  test.each<[string, string, Record<string, unknown>, number, string]>([
    ["an id that is taken", "LeaseGrant", { ID: 7, TTL: 5 }, 9, "etcdserver: lease already exists"],
    ["too long a time", "LeaseGrant", { TTL: "9000000001" }, 11, "etcdserver: too large lease TTL"],
    ["a time beyond 2^53", "LeaseGrant", { TTL: "9223372036854775807" }, 11, "etcdserver: too large lease TTL"],
    ["the end of none", "LeaseRevoke", { ID: 8 }, 5, "etcdserver: requested lease not found"],
  ])("%s is refused with etcd's code and text", async (_name, method, request, code, details) => {
    await grant(7, 60);
    await expect(etcd.call("Lease", method, request)).rejects.toMatchObject({ code, details });
  });

  test("no lease is granted when there is no space, and those that are there are renewed and revoked", async () => {
    await grant(7, 60);
    await etcd.call("Maintenance", "Alarm", { action: "ACTIVATE", memberID: 161, alarm: "NOSPACE" });
    await expect(grant(8, 60)).rejects.toMatchObject({ code: 8, details: "etcdserver: mvcc: database space exceeded" });
    const stream = etcd.stream("Lease", "LeaseKeepAlive");
    stream.send({ ID: 7 });
    expect(await stream.next()).toMatchObject({ TTL: "60" });
    stream.cancel();
    await etcd.call("Lease", "LeaseRevoke", { ID: 7 });
  });
});

describe("LeaseKeepAlive", () => {
  test("answers every renewal in order; 0 for a lease that is not there", async () => {
    for (const ID of [1, 2]) await grant(ID, 60 + ID);
    const stream = etcd.stream("Lease", "LeaseKeepAlive");
    for (const ID of [2, 9, 1, 2]) stream.send({ ID });
    const answers = [await stream.next(), await stream.next(), await stream.next(), await stream.next()];
    expect(answers.map(({ ID, TTL }) => [ID, TTL])).toEqual([
      ["2", "62"],
      ["9", "0"],
      ["1", "61"],
      ["2", "62"],
    ]);
    stream.finish();
    expect(await stream.ended).toMatchObject({ code: 0 });
  });

  test("answers what was asked before the client's end", async () => {
    await grant(1, 60);
    const stream = etcd.stream("Lease", "LeaseKeepAlive");
    for (let i = 0; i < 3_000; i += 1) stream.send({ ID: 1 });
    stream.finish();
    expect(await stream.ended).toMatchObject({ code: 0 });
    expect(stream.waiting).toBe(3_000);
  });

  test("ends with etcd's text when there is no leader", async () => {
    await grant(1, 60);
    const stream = etcd.stream("Lease", "LeaseKeepAlive");
    stream.send({ ID: 1 });
    await stream.next();
    doors.node.situation.leaderless = true;
    stream.send({ ID: 1 });
    expect(await stream.ended).toMatchObject({ code: 14, details: "etcdserver: no leader" });
    const another = etcd.stream("Lease", "LeaseKeepAlive", { hasleader: "true" });
    expect(await another.ended).toMatchObject({ code: 14, details: "etcdserver: no leader" });
  });

  test("is not for learners", async () => {
    doors.node.situation.learner = true;
    const stream = etcd.stream("Lease", "LeaseKeepAlive");
    expect(await stream.ended).toMatchObject({ code: 14, details: "etcdserver: rpc not supported for learner" });
  });
});
