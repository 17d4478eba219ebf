import { describe, expect, it } from "vitest";
import { ALL, bytes, Fixture, load, pagesOf, put, range, remove, txn } from "../../test/model/machine-fixture.ts";
import { type Command, type Operation } from "./commands.ts";

/** The fixture's cluster time is the index of the entry, ms. */
const touch = (key: string, ttlMs: number): Operation => ({ type: "touch", key: bytes(key), ttlMs });
const expire = (at: Fixture, nowMs: number): Command => ({
  type: "expireRows",
  rows: at.machine.endedRows(nowMs, 100),
});

describe("rows with a time to live", () => {
  it("end only when their end has come and has not moved, all in one revision", () => {
    const at = new Fixture();
    for (const key of ["a", "b", "c", "d"]) at.apply(put(key, "1", { ttlMs: 10 }));
    expect(at.machine.rowsWithEnd).toBe(4);
    expect(at.machine.endedRows(at.machine.appliedIndex + 5, 100)).toEqual([]);
    const seen = expire(at, 1_000);
    at.apply(touch("b", 1_000_000));
    at.apply(put("c", "2"));
    at.apply(remove("d"));
    const before = at.machine.revision;
    // Their end is not there yet by the stamp of this entry.
    expect(at.say(seen)).toMatchObject({ deleted: 0 });
    for (let i = 0; i < 10; i += 1) at.apply({ type: "advanceTime" });
    expect(at.say(seen)).toEqual({ type: "delete", deleted: 1, previous: [] });
    expect(at.machine.revision).toBe(before + 1);
    expect(at.keys(range("\0", "\0"))).toEqual(["b", "c"]);
    expect(at.machine.rowsWithEnd).toBe(1);
    at.machine.checkInvariants();
  });

  it("are touched without a revision, a version or a change", () => {
    const at = new Fixture();
    at.apply(put("a", "1"));
    const { revision } = at.machine;
    expect(at.say(touch("a", 500))).toEqual({ type: "touch", touched: true });
    expect(at.say(touch("b", 500))).toEqual({ type: "touch", touched: false });
    expect(at.say(txn([], [touch("a", 700), range("a")]))).toMatchObject({
      replies: [{ touched: true }, { rows: [{ version: 1, modRevision: revision, ttlMs: 700 }] }],
    });
    expect(at.machine.revision).toBe(revision);
    expect(at.machine.changes(ALL, 1, revision, { previous: false, units: 10 }).events).toHaveLength(1);
    expect(at.say(touch("a", 0))).toEqual({ type: "touch", touched: true });
    expect(at.machine.rowsWithEnd).toBe(0);
  });

  it("are in the next checkpoint when only their end has changed", () => {
    const at = new Fixture();
    for (let n = 100; n < 200; n += 1) at.apply(put(`k${n}`, "v".repeat(1000), { ttlMs: 10_000 }));
    const whole = at.machine.freeze({ onlyDirty: false });
    const pages = new Map(pagesOf(whole, 1e9).map((page) => [page.number, page]));
    at.machine.checkpointed(whole);
    whole.close();
    at.apply(touch("k150", 1_000_000));
    const changed = at.machine.freeze({ onlyDirty: true });
    // What comes behind the freeze is not in it.
    at.apply(touch("k150", 5));
    const changedPages = pagesOf(changed);
    expect(changedPages).toHaveLength(1);
    for (const page of changedPages) pages.set(page.number, page);
    const loaded = load(pages.values(), changed.meta);
    changed.close();
    loaded.checkInvariants();
    expect(loaded.rowsWithEnd).toBe(100);
    const ended = loaded.endedRows(50_000, 1000).map(({ key }) => Buffer.from(key).toString());
    expect(ended).toHaveLength(99);
    expect(ended).not.toContain("k150");
  });

  it("live for at most etcd's longest lease", () => {
    const at = new Fixture();
    expect(at.say(put("a", "1", { ttlMs: 9_000_000_000_001 }))).toBe("ttlTooLarge");
    expect(at.say(touch("a", 9_000_000_000_001))).toBe("ttlTooLarge");
    expect(at.say(touch("", 1))).toBe("keyEmpty");
  });
});
