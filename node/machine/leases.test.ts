import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { Fixture, load, pagesOf, put, range, txn } from "../../test/model/machine-fixture.ts";
import { DeadlineQueue } from "./deadline-queue.ts";
import { bucketOf, LEASE_BUCKETS, Leases } from "./leases.ts";

/** The fixture's cluster time is the index of the entry: it stands still beside a lease. */
describe("leases", () => {
  it("are granted once, for at least two seconds and at most etcd's longest time", () => {
    const at = new Fixture();
    expect(at.say({ type: "leaseGrant", id: 7n, ttlSeconds: 60 })).toEqual({
      type: "leaseGrant",
      id: 7n,
      ttlSeconds: 60,
    });
    expect(at.say({ type: "leaseGrant", id: 7n, ttlSeconds: 60 })).toBe("leaseExists");
    expect(at.say({ type: "leaseGrant", id: -1n, ttlSeconds: -5 })).toMatchObject({ ttlSeconds: 2 });
    expect(at.say({ type: "leaseGrant", id: 8n, ttlSeconds: 9_000_000_001 })).toBe("leaseTtlTooLarge");
    expect(at.machine.leases.list().map(({ id }) => id)).toEqual([-1n, 7n]);
    expect(at.machine.revision).toBe(1);
  });

  it("take their keys with them, in one revision and in the order of the keys", () => {
    const at = new Fixture();
    at.apply({ type: "leaseGrant", id: 7n, ttlSeconds: 60 });
    for (const key of ["c", "a", "b"]) at.apply(put(key, "1", { lease: 7n }));
    at.apply(put("d", "1"));
    const before = at.machine.revision;
    expect(at.say({ type: "leaseRevoke", id: 7n })).toEqual({ type: "leaseRevoke", deleted: 3 });
    expect(at.machine.revision).toBe(before + 1);
    const ALL = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
    const { events } = at.machine.changes(ALL, before + 1, before + 1, { previous: false, units: 100 });
    expect(events.map(({ row }) => Buffer.from(row.key).toString())).toEqual(["a", "b", "c"]);
    expect(at.keys(range("\0", "\0"))).toEqual(["d"]);
    expect(at.say({ type: "leaseRevoke", id: 7n })).toBe("leaseNotFound");
    at.machine.checkInvariants();
  });

  it("lose a key that is put without them, put with another, or deleted", () => {
    const at = new Fixture();
    for (const id of [1n, 2n]) at.apply({ type: "leaseGrant", id, ttlSeconds: 60 });
    for (const key of ["a", "b", "c", "d"]) at.apply(put(key, "1", { lease: 1n }));
    at.apply(put("a", "2"));
    at.apply(put("b", "2", { lease: 2n }));
    at.apply(put("c", "2", { ignoreLease: true }));
    const keysOf = (id: bigint): unknown => at.say({ type: "leaseTimeToLive", id, keys: true });
    expect(keysOf(1n)).toMatchObject({ keys: ["c", "d"], grantedSeconds: 60, ttlSeconds: 59 });
    expect(keysOf(2n)).toMatchObject({ keys: ["b"] });
    expect(keysOf(3n)).toEqual({ type: "leaseTimeToLive", ttlSeconds: -1, grantedSeconds: 0, keys: [] });
  });

  it("are missed by a whole txn, in whichever place", () => {
    const at = new Fixture();
    expect(at.say(txn([], [put("a", "1"), txn([], [put("b", "1", { lease: 9n })])]))).toBe("leaseNotFound");
    expect(at.keys(range("\0", "\0"))).toEqual([]);
  });

  it("end only when their end has come and has not moved", () => {
    const { machine } = new Fixture();
    let index = machine.appliedIndex;
    const at = (clusterTimeMs: number, command: Parameters<typeof machine.apply>[1]): unknown =>
      machine.apply({ index: ++index, clusterTimeMs, wallTimeMs: 0 }, command);
    at(1_000, { type: "leaseGrant", id: 7n, ttlSeconds: 10 });
    expect(machine.leases.due(11_000, 5)).toEqual([]);
    expect(machine.leases.due(11_001, 5)).toMatchObject([{ id: 7n, deadlineMs: 11_001 }]);
    at(11_000, { type: "leaseExpire", id: 7n, deadlineMs: 11_001 });
    expect(machine.leases.count).toBe(1);
    at(11_000, { type: "leaseKeepAlive", ids: [7n, 8n] });
    at(11_001, { type: "leaseExpire", id: 7n, deadlineMs: 11_001 });
    expect(machine.leases.list()).toMatchObject([{ id: 7n, deadlineMs: 21_001 }]);
    at(21_001, { type: "leaseExpire", id: 7n, deadlineMs: 21_001 });
    expect(machine.leases.count).toBe(0);
  });

  it("are in checkpoints with what changed of them, and nothing else", () => {
    const at = new Fixture();
    for (let id = 1n; id <= 3000n; id += 1n) at.apply({ type: "leaseGrant", id, ttlSeconds: 60 });
    at.apply(put("a", "1", { lease: 5n }));
    const whole = at.machine.freeze({ onlyDirty: false });
    const pages = new Map(pagesOf(whole, 4000).map((page) => [page.number, page]));
    at.machine.checkpointed(whole);
    whole.close();
    expect(pages.size).toBe(1 + LEASE_BUCKETS);
    at.apply({ type: "leaseKeepAlive", ids: [1n] });
    const changed = at.machine.freeze({ onlyDirty: true });
    // A change after the freeze is not in it.
    at.apply({ type: "leaseRevoke", id: 5n });
    const changedPages = pagesOf(changed);
    changed.close();
    expect(changedPages).toHaveLength(1);
    for (const page of changedPages) pages.set(page.number, page);
    const loaded = load(pages.values(), changed.meta);
    loaded.checkInvariants();
    expect(loaded.leases.count).toBe(3000);
    expect(loaded.leases.list()[0]).toEqual(at.machine.leases.list()[0]);
    expect(loaded.leases.due(Infinity, 1)).toMatchObject([{ id: 2n }]);
  });

  it("are refused when a page lies about them", () => {
    const at = new Fixture();
    at.apply({ type: "leaseGrant", id: 5n, ttlSeconds: 60 });
    at.apply(put("a", "1", { lease: 5n }));
    const frozen = at.machine.freeze({ onlyDirty: false });
    const pages = pagesOf(frozen);
    const leasePage = pages.at(-1);
    if (leasePage === undefined) throw new Error("There is no page of leases");
    expect(() => load(pages.slice(0, -1), frozen.meta)).toThrow("which is not there");
    expect(() => load([...pages, { ...leasePage, number: leasePage.number + 1 }], frozen.meta)).toThrow(
      "which is of another page",
    );
    const newer = { ...leasePage, bytes: Uint8Array.of(9, ...leasePage.bytes.subarray(1)) };
    expect(() => load([...pages.slice(0, -1), newer], frozen.meta)).toThrow("has format version 9");
  });

  it("spread over the pages, whether their ids are counted or drawn", () => {
    for (const ids of [
      Array.from({ length: 10_000 }, (_, i) => BigInt(i)),
      Array.from({ length: 10_000 }, (_, i) => 0x694d71ddacfda201n + BigInt(i) * 0x100000000n),
    ]) {
      const counts = new Array<number>(LEASE_BUCKETS).fill(0);
      for (const id of ids) counts[bucketOf(id)] = (counts[bucketOf(id)] ?? 0) + 1;
      expect(Math.max(...counts)).toBeLessThan(200);
    }
  });

  it("leave nothing behind when they come and go before their end", () => {
    const leases = new Leases();
    for (let i = 0n; i < 1000n; i += 1n) {
      leases.set({ id: i, ttlSeconds: 1e9, deadlineMs: 1e12 });
      leases.delete(i);
    }
    expect(leases.count).toBe(0);
    expect(leases.queued).toBeLessThan(200);
  });
});

describe("deadline queue", () => {
  it("gives what is due in order, however ends move", () => {
    const move = fc.record({ id: fc.nat(20), atMs: fc.nat(100), gone: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(move, { maxLength: 60 }),
        fc.nat(100),
        fc.integer({ min: 1, max: 30 }),
        (moves, now, count) => {
          const queue = new DeadlineQueue<bigint>();
          const ends = new Map<bigint, number>();
          for (const { id, atMs, gone } of moves) {
            const before = ends.get(BigInt(id));
            if (gone) ends.delete(BigInt(id));
            else ends.set(BigInt(id), atMs);
            // As `Leases` does it: a later end is not told.
            if (!gone && (before === undefined || atMs < before)) queue.add(BigInt(id), atMs);
          }
          const due = queue.due(now, count, (id) => ends.get(id));
          const expected = [...ends.values()].filter((atMs) => atMs <= now).sort((a, b) => a - b);
          expect(due.map((id) => ends.get(id))).toEqual(expected.slice(0, count));
          expect(queue.due(now, count, (id) => ends.get(id)).map((id) => ends.get(id))).toEqual(
            expected.slice(0, count),
          );
        },
      ),
      { numRuns: 300, seed: 4 },
    );
  });
});
