import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  etcdClient,
  type EtcdMessage,
  type EtcdTestClient,
  openDoors,
  type OpenDoors,
  type StreamClient,
} from "../support/open-doors.ts";

let doors: OpenDoors;
let etcd: EtcdTestClient;

beforeEach(async () => {
  doors = await openDoors();
  etcd = etcdClient(`127.0.0.1:${doors.port}`);
});

afterEach(async () => {
  etcd.close();
  await doors.close();
});

const put = (key: string, value: string | Buffer) =>
  etcd.call("KV", "Put", { key: Buffer.from(key), value: Buffer.from(value) });

interface HashMessage {
  readonly hash: number;
  readonly compact_revision: string;
  readonly hash_revision: string;
}

async function hashKv(revision: number): Promise<HashMessage> {
  const answer = (await etcd.call("Maintenance", "HashKV", { revision })) as unknown as HashMessage;
  const { hash, compact_revision, hash_revision } = answer;
  return { hash, compact_revision, hash_revision };
}

describe("HashKV", () => {
  test("the hash of a revision stays what it was when it was the newest", async () => {
    await put("a", "1");
    const then = await hashKv(0);
    expect(then).toMatchObject({ compact_revision: "-1", hash_revision: "2" });
    await put("a", "2");
    await etcd.call("KV", "DeleteRange", { key: Buffer.from("a") });
    await put("b", "1");
    expect(await hashKv(2)).toMatchObject(then);
    const now = await hashKv(0);
    expect(now.hash_revision).toBe("5");
    expect(now.hash).not.toBe(then.hash);
    expect(await hashKv(5)).toMatchObject(now);
    expect(await etcd.call("Maintenance", "Hash", {})).toMatchObject({ hash: now.hash });
  });

  test("a revision that is compacted, or not there yet, has none", async () => {
    for (const value of ["1", "2", "3"]) await put("a", value);
    await etcd.call("KV", "Compact", { revision: 3 });
    await expect(hashKv(2)).rejects.toMatchObject({
      code: 11,
      details: "etcdserver: mvcc: required revision has been compacted",
    });
    await expect(hashKv(5)).rejects.toMatchObject({
      code: 11,
      details: "etcdserver: mvcc: required revision is a future revision",
    });
    expect(await hashKv(3)).toMatchObject({ compact_revision: "3", hash_revision: "3" });
  });
});

describe("Downgrade", () => {
  const downgrade = (action: string, version: string) => etcd.call("Maintenance", "Downgrade", { action, version });

  test("there is no version to go back to, and nothing to cancel", async () => {
    for (const action of ["VALIDATE", "ENABLE"]) {
      await expect(downgrade(action, "3.5.0")).rejects.toMatchObject({
        code: 3,
        details: "etcdserver: invalid downgrade target version",
      });
      await expect(downgrade(action, "x")).rejects.toMatchObject({
        code: 3,
        details: "etcdserver: wrong downgrade target version format",
      });
    }
    expect(await downgrade("CANCEL", "")).toMatchObject({ version: "3.6" });
  });
});

describe("Snapshot", () => {
  interface Piece extends EtcdMessage {
    readonly blob: Buffer;
    readonly remaining_bytes: string;
  }

  const snapshot = (): StreamClient => etcd.serverStream("Maintenance", "Snapshot", {});

  test("whole pages with their SHA-256 behind them, and the last piece says that it is the last", async () => {
    for (let each = 0; each < 50; each++) await put(`k${each}`, Buffer.alloc(20_000, each));
    const stream = snapshot();
    const pieces: Piece[] = [];
    do pieces.push((await stream.next()) as Piece);
    while (pieces.at(-1)?.remaining_bytes !== "0");
    expect(await stream.ended).toMatchObject({ code: 0 });
    expect(stream.waiting).toBe(0);
    const file = Buffer.concat(pieces.map(({ blob }) => blob));
    expect(file.length).toBeGreaterThan(1_000_000);
    expect(file.length % 512).toBe(32);
    expect(file.subarray(-32)).toEqual(createHash("sha256").update(file.subarray(0, -32)).digest());
  });

  test("a reader that has gone, or never asks, leaves room for others", async () => {
    for (let each = 0; each < 10; each++) await put(`k${each}`, Buffer.alloc(500_000, each));
    const open = Array.from({ length: 4 }, snapshot);
    for (const stream of open) stream.pause();
    await vi.waitFor(async () => {
      expect(await snapshot().ended).toMatchObject({ code: 8, details: "etcdserver: too many requests" });
    });
    for (const stream of open) stream.cancel();
    await vi.waitFor(async () => {
      const stream = snapshot();
      const first = await Promise.race([stream.next(), stream.ended]);
      stream.cancel();
      expect(first).toHaveProperty("header");
    });
  });
});
