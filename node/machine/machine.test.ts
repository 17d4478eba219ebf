import { describe, expect, it } from "vitest";
import {
  ALL,
  bytes,
  Fixture,
  FOUND,
  memberOf,
  OPTIONS,
  put,
  range,
  remove,
  txn,
} from "../../test/model/machine-fixture.ts";
import { plain } from "../../test/model/naive-machine.ts";
import { type Command } from "./commands.ts";
import { Machine } from "./machine.ts";

describe("applying", () => {
  it("starts at revision 1 with nothing compacted", () => {
    const { machine } = new Fixture();
    expect([machine.revision, machine.compactRevision, machine.appliedIndex, machine.version]).toEqual([1, -1, 1, 1]);
  });

  it("gives one revision to a command that writes, and none to one that does not", () => {
    const at = new Fixture();
    const revisionAfter = (command: Command): number => {
      at.apply(command);
      return at.machine.revision;
    };
    expect(revisionAfter(put("a", "1"))).toBe(2);
    expect(revisionAfter(put("a", "1"))).toBe(3);
    expect(revisionAfter(range("a"))).toBe(3);
    expect(revisionAfter(remove("b"))).toBe(3);
    expect(revisionAfter(txn([], [put("b", "1"), put("c", "1"), remove("a")]))).toBe(4);
    expect(revisionAfter(txn([], [range("a"), remove("x", "z")]))).toBe(4);
    expect(revisionAfter(txn([], [put("b", "1"), put("d", "1", { lease: 7n })]))).toBe(4);
    expect(at.say(range("b"))).toMatchObject({ rows: [{ modRevision: 4, version: 1 }] });
  });

  it("counts versions from the creation, and anew after a delete", () => {
    const at = new Fixture();
    for (const command of [put("a", "1"), put("a", "2"), remove("a"), put("a", "3")]) at.apply(command);
    expect(at.say(range("a"))).toMatchObject({ rows: [{ createRevision: 5, modRevision: 5, version: 1 }] });
    expect(at.say(range("a", "", { revision: 3 }))).toMatchObject({
      rows: [{ value: "2", createRevision: 2, modRevision: 3, version: 2 }],
    });
    expect(at.say(range("a", "", { revision: 4 }))).toMatchObject({ rows: [], count: 0 });
  });

  it("shows readers the state before a command until it is finished", () => {
    const at = new Fixture();
    for (let i = 0; i < 100; i += 1) at.apply(put(`k${i}`, "x"));
    const before = at.machine.revision;
    const index = at.machine.appliedIndex + 1;
    const scan = at.machine.read(range("k", "l"));
    expect(scan.advance(10)).toBeUndefined();
    at.machine.start({ index, clusterTimeMs: 5, wallTimeMs: 5 }, remove("k", "l"));
    let slices = 0;
    for (; at.machine.advance(10) === undefined; slices += 1) {
      expect(at.machine.revision).toBe(before);
      expect(at.machine.stats().keys).toBe(100);
      expect(at.machine.appliedIndex).toBe(index - 1);
      expect(at.machine.get(bytes("k0"))).toMatchObject({ ok: true, reply: { count: 1 } });
      expect(at.read(range("k", "l", { countOnly: true }))).toMatchObject({ count: 100 });
      expect(at.machine.freeze({ onlyDirty: false }).revision).toBe(before);
    }
    expect(slices).toBeGreaterThan(10);
    expect(at.machine.get(bytes("k0"))).toMatchObject({ ok: true, reply: { count: 0 } });
    expect(plain(scan.advance(1e9))).toMatchObject({ revision: before, reply: { count: 100 } });
  });

  it("keeps its clocks from going back", () => {
    const { machine } = new Fixture();
    machine.apply({ index: 2, clusterTimeMs: 100, wallTimeMs: 1000 }, put("a", "1"));
    machine.apply({ index: 3, clusterTimeMs: 50, wallTimeMs: 500 }, put("a", "1"));
    expect([machine.clusterTimeMs, machine.wallTimeMs]).toEqual([100, 1000]);
  });

  it("applies no entry twice, and moves on past entries without a command", () => {
    const { machine } = new Fixture();
    machine.applyEmpty(7);
    expect(machine.appliedIndex).toBe(7);
    expect(() => machine.applyEmpty(7)).toThrow("Entry was applied before");
    expect(() => machine.apply({ index: 7, clusterTimeMs: 0, wallTimeMs: 0 }, put("a", "1"))).toThrow(
      "Entry was applied before",
    );
  });

  it("halts at a bug and leaves the state before it in force", () => {
    const at = new Fixture();
    at.apply(put("a", "1"));
    const command = txn([], [put("a", "2"), put("b", "1"), { type: "nonsense" } as never]);
    expect(() => at.apply(command)).toThrow();
    expect(at.machine.revision).toBe(2);
    expect(plain(at.machine.get(bytes("a")))).toMatchObject({ revision: 2, reply: { rows: [{ value: "1" }] } });
    expect(at.read(range("\0", "\0"))).toMatchObject({ count: 1 });
    expect(() => at.apply(put("c", "1"))).toThrow("Machine has met a bug and is halted");
    expect(() => at.machine.freeze({ onlyDirty: true })).toThrow("Machine has met a bug and is halted");
  });

  it("halts rather than run a machine version it does not know", () => {
    const at = new Fixture();
    const newer: Command = { type: "raiseVersion", version: Machine.versionMax + 1 };
    expect(at.machine.check(newer)).toMatchObject({ ok: false, reason: "unknownVersion" });
    expect(at.say({ type: "raiseVersion", version: Machine.versionMax })).toEqual({ type: "ok" });
    expect(at.machine.version).toBe(Machine.versionMax);
    expect(() => at.apply(newer)).toThrow("upgrade it");
  });
});

describe("compaction", () => {
  it("follows etcd's bounds", () => {
    const at = new Fixture();
    for (let i = 0; i < 4; i += 1) at.apply(put("a", `${i}`));
    expect(at.say({ type: "compact", revision: 6 })).toBe("futureRevision");
    expect(at.say({ type: "compact", revision: 3 })).toEqual({ type: "compact" });
    expect(at.apply({ type: "compact", revision: 3 })).toEqual({
      ok: false,
      revision: 5,
      reason: "compacted",
      compactRevision: 3,
    });
    expect(at.say(range("a", "", { revision: 2 }))).toBe("compacted");
    expect(at.say(range("a", "", { revision: 3 }))).toMatchObject({ rows: [{ value: "1" }] });
    expect(at.machine.get(bytes("a"), 2)).toMatchObject({ ok: false, reason: "compacted", compactRevision: 3 });
    expect(at.machine.get(bytes("a"), 9)).toMatchObject({ ok: false, reason: "futureRevision" });
    expect(at.read(range("a", "", { revision: 2 }))).toBe("compacted");
  });

  it("frees what nobody can reach, and tombstones with the compaction after theirs", () => {
    const at = new Fixture();
    for (let i = 0; i < 10; i += 1) at.apply(put("a", `${i}`));
    at.apply(put("b", "1"));
    at.apply(remove("b"));
    at.apply({ type: "compact", revision: at.machine.revision });
    expect(at.machine.sweep(1)).toBe(false);
    at.sweepAll();
    expect(at.machine.stats()).toMatchObject({ keys: 1, versions: 2 });
    at.machine.checkInvariants();
    at.apply(remove("a"));
    at.apply({ type: "compact", revision: at.machine.revision });
    at.sweepAll();
    expect(at.machine.stats()).toMatchObject({ keys: 0, versions: 1, liveBytes: 0 });
    at.machine.checkInvariants();
    at.apply(put("c", "1"));
    at.apply({ type: "compact", revision: at.machine.revision });
    at.sweepAll();
    expect(at.machine.stats()).toMatchObject({ keys: 1, versions: 1 });
    expect(at.machine.stats().bytes).toBe(at.machine.stats().liveBytes);
    at.machine.checkInvariants();
  });

  it("waits for those who still read", () => {
    const at = new Fixture();
    for (let i = 0; i < 20; i += 1) at.apply(put(`k${i}`, "old"));
    const then = at.machine.revision;
    const scan = at.machine.read(range("k", "l"));
    scan.advance(3);
    at.apply(remove("\0", "\0"));
    at.apply({ type: "compact", revision: at.machine.revision });
    expect(at.machine.sweep(1000)).toBe(false);
    // New keys must not take the places of those that are still read.
    for (let i = 0; i < 20; i += 1) at.apply(put(`x${i}`, "new"));
    expect(plain(scan.advance(1000))).toMatchObject({ revision: then, reply: { count: 20 } });
    at.sweepAll();
    expect(at.machine.stats()).toMatchObject({ keys: 20, versions: 40 });
    at.machine.checkInvariants();
    at.apply({ type: "compact", revision: at.machine.revision });
    at.sweepAll();
    expect(at.machine.stats()).toMatchObject({ keys: 20, versions: 20 });
    at.machine.checkInvariants();
  });

  it("frees what was before the compacted revision at once, and takes up a sweep that was not finished", () => {
    const at = new Fixture();
    for (let i = 0; i < 50; i += 1) at.apply(put(`k${i}`, "1"));
    at.apply(remove("k", "l"));
    at.apply({ type: "compact", revision: at.machine.revision });
    at.sweepAll();
    expect(at.machine.stats()).toMatchObject({ keys: 0, versions: 50 });
    at.apply(put("a", "1"));
    at.apply(put("a", "2"));
    at.apply({ type: "compact", revision: at.machine.revision - 1 });
    expect(at.machine.sweep(20)).toBe(false);
    at.apply({ type: "compact", revision: at.machine.revision });
    at.machine.checkInvariants();
    at.sweepAll();
    expect(at.machine.stats()).toMatchObject({ keys: 1, versions: 1 });
    at.machine.checkInvariants();
  });
});

describe("changes", () => {
  it("come in order, whole revisions at a time, with the rows before them", () => {
    const at = new Fixture();
    at.apply(put("a", "1"));
    at.apply(txn([], [put("a", "2"), put("b", "1"), put("x", "1")]));
    at.apply(remove("\0", "\0"));
    const first = at.machine.changes({ key: bytes("a"), rangeEnd: bytes("c") }, 2, 9, { previous: true, units: 2 });
    expect(first.next).toBe(4);
    expect(plain(first.events)).toMatchObject([
      { type: "put", sub: 0, row: { key: "a", value: "1", modRevision: 2 } },
      { type: "put", sub: 0, row: { key: "a", value: "2", modRevision: 3 } },
      { type: "put", sub: 1, row: { key: "b", value: "1", modRevision: 3 } },
    ]);
    expect(plain(first.previousRows)).toMatchObject([undefined, { value: "1" }, undefined]);
    const second = at.machine.changes(ALL, first.next, 9, { previous: false, units: 1 });
    expect(plain(second.events)).toMatchObject([
      { type: "delete", sub: 0, row: { key: "a", value: "", createRevision: 0, modRevision: 4, version: 0 } },
      { type: "delete", sub: 1, row: { key: "b" } },
      { type: "delete", sub: 2, row: { key: "x" } },
    ]);
    expect(second.next).toBe(5);
  });

  const changesFrom = (machine: Machine, from: number): unknown => {
    const { events, previousRows } = machine.changes(ALL, from, machine.revision, { previous: true, units: 9 });
    return plain(events.map(({ type, row }, i) => [row.modRevision, type, row.key, previousRows[i]?.value]));
  };

  it("of the compacted revision are given, without the rows before them; older ones are not", () => {
    const at = new Fixture();
    for (const command of [put("a", "1"), put("b", "1"), put("c", "1")]) at.apply(command);
    at.apply(txn([], [put("a", "2"), remove("b"), put("d", "1")]));
    at.apply(txn([], [put("a", "3"), put("b", "2"), remove("c")]));
    at.apply({ type: "compact", revision: 5 });
    const expected = [
      [5, "put", "a", undefined],
      [5, "delete", "b", undefined],
      [5, "put", "d", undefined],
      [6, "put", "a", "2"],
      [6, "put", "b", undefined],
      [6, "delete", "c", "1"],
    ];
    expect(changesFrom(at.machine, 5)).toEqual(expected);
    at.sweepAll();
    at.machine.checkInvariants();
    expect(changesFrom(at.machine, 5)).toEqual(expected);
    expect(changesFrom(at.machine, 6)).toEqual(expected.slice(3));
    expect(() => at.machine.changes(ALL, 4, 6, { previous: false, units: 9 })).toThrow(
      "Changes were asked for that are compacted",
    );
    at.apply({ type: "compact", revision: 6 });
    at.sweepAll();
    at.machine.checkInvariants();
    expect(changesFrom(at.machine, 6)).toEqual(expected.slice(3).map((change) => change.with(3, undefined)));
    expect(() => at.machine.changes(ALL, 5, 6, { previous: false, units: 9 })).toThrow("compacted");
  });

  it("begin with revision 2: asked from 0 or 1, or after a compaction of the empty store, nothing is missing", () => {
    const at = new Fixture();
    at.apply(put("a", "1"));
    for (const from of [0, 1, 2]) expect(changesFrom(at.machine, from)).toEqual([[2, "put", "a", undefined]]);
    at.apply({ type: "compact", revision: 1 });
    for (const from of [1, 2]) expect(changesFrom(at.machine, from)).toEqual([[2, "put", "a", undefined]]);
    expect(at.machine.changes(ALL, 9, 12, { previous: true, units: 9 })).toEqual({
      events: [],
      previousRows: [],
      next: 9,
    });
  });
});

describe("what is refused", () => {
  it("everything before the founding, and a second founding", () => {
    const at = new Fixture(OPTIONS, "none");
    expect(at.say(put("a", "1"))).toBe("notFounded");
    expect(at.say(range("a"))).toBe("notFounded");
    expect(at.say(FOUND)).toEqual({ type: "ok" });
    expect(at.say(FOUND)).toBe("alreadyFounded");
    expect(at.machine).toMatchObject({ clusterId: "00000000000000c1", clusterUid: "uid" });
  });

  it("client writes until as many members vote as were asked for", () => {
    const awaited = [memberOf(2), memberOf(3)].map(({ name, peerUrls }) => ({ name, peerUrls }));
    const at = new Fixture(OPTIONS, { ...FOUND, size: 3, awaited } as Command);
    const { machine } = at;
    const change = (type: "addLearner" | "promote" | "remove", n: number): void =>
      machine.applyMembership(machine.appliedIndex + 1, { type, member: memberOf(n).id }, memberOf(n));
    change("addLearner", 2);
    expect(machine.founding).toMatchObject({ size: 3, complete: false, awaited: [{ name: "m3" }] });
    change("promote", 2);
    for (const command of [
      put("a", "1"),
      remove("a"),
      txn([], [remove("a")]),
      { type: "compact", revision: 1 } as const,
    ])
      expect(at.say(command)).toBe("founding");
    expect(at.say(range("a"))).toMatchObject({ count: 0 });
    expect(at.say({ type: "publish", member: memberOf(2).id, name: "m2", peerUrls: [], clientUrls: ["c"] })).toEqual({
      type: "ok",
    });
    change("addLearner", 3);
    change("promote", 3);
    expect(machine.founding).toEqual({ size: 3, complete: true, awaited: [] });
    change("remove", 3);
    expect(machine.founding.complete).toBe(true);
    expect(at.say(put("a", "1"))).toMatchObject({ type: "put" });
  });

  it("puts while a member has no space; the rest goes on", () => {
    const at = new Fixture();
    const alarm = { type: "alarm", alarm: "noSpace", member: memberOf(1).id } as const;
    at.apply(put("a", "1"));
    expect(at.say({ ...alarm, action: "set", member: memberOf(9).id })).toBe("unknownMember");
    expect(at.say({ ...alarm, action: "set" })).toEqual({ type: "ok" });
    expect(at.machine.alarms).toEqual([{ member: memberOf(1).id, alarm: "noSpace" }]);
    expect(at.say(put("a", "2"))).toBe("noSpace");
    expect(at.say(txn([], [range("a")], [txn([], [put("a", "2")])]))).toBe("noSpace");
    expect(at.say(txn([], [remove("a")]))).toMatchObject({ succeeded: true });
    expect(at.say({ type: "compact", revision: at.machine.revision })).toEqual({ type: "compact" });
    expect(at.say({ ...alarm, action: "clear" })).toEqual({ type: "ok" });
    expect(at.say(put("a", "2"))).toMatchObject({ type: "put" });
  });

  it("tells when the quota is exceeded, and when it is not any more", () => {
    const at = new Fixture({ ...OPTIONS, quotaBytes: 100_000 });
    for (let i = 0; i < 20; i += 1) at.apply(put("a", new Uint8Array(9000)));
    expect(at.machine.overQuota).toBe(true);
    at.apply({ type: "compact", revision: at.machine.revision });
    at.sweepAll();
    expect(at.machine.overQuota).toBe(false);
  });
});
