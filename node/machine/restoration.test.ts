import { describe, expect, it } from "vitest";
import { bytes, Fixture, OPTIONS, pagesOf, put, range, remove } from "../../test/model/machine-fixture.ts";
import { type Command } from "./commands.ts";
import { CorruptPageError, type Machine } from "./machine.ts";
import { machineRestorer } from "./restoration.ts";

const BUMP = 1_000_000_000;
const MEMBERS = ["00000000000000b2", "00000000000000b1"].map((id) => ({
  id,
  name: id,
  peerUrls: [`http://${id}:2380`],
  clientUrls: [],
  learner: false,
  joined: true,
}));

interface RowRevisions {
  readonly createRevision: number;
  readonly modRevision: number;
}

function restored(at: Fixture, revisionBump: number): Fixture {
  const frozen = at.machine.freeze({ onlyDirty: false });
  const pages = pagesOf(frozen);
  frozen.close();
  const restoration = { revisionBump, clusterId: "00000000000000c2", clusterUid: "uid", members: MEMBERS };
  const restorer = machineRestorer(OPTIONS, frozen.meta, restoration);
  for (const page of pages) restorer.page(page.number, page.bytes);
  const machine: Machine = restorer.finish();
  machine.checkInvariants();
  const again = new Fixture();
  again.machine = machine;
  return again;
}

/** Three versions of `a`, a key that is gone, and one that was written last, or whatever `last` does. */
function filled(last: Command = put("last", "1")): Fixture {
  const at = new Fixture();
  for (const value of ["1", "2", "3"]) at.apply(put("a", value));
  at.apply(put("gone", "1"));
  at.apply(remove("gone"));
  at.apply(last);
  return at;
}

describe("a restored machine", () => {
  it("has every revision higher, and nothing before the newest one", () => {
    const at = filled();
    const { revision } = at.machine;
    const again = restored(at, BUMP);
    expect(again.machine).toMatchObject({ revision: revision + BUMP, compactRevision: revision + BUMP });
    const rows = (fixture: Fixture) => (fixture.read(range("\0", "\0")) as { rows: RowRevisions[] }).rows;
    expect(rows(at)).toHaveLength(2);
    expect(rows(again)).toEqual(
      rows(at).map((row) => ({
        ...row,
        createRevision: row.createRevision + BUMP,
        modRevision: row.modRevision + BUMP,
      })),
    );
    expect(again.read(range("a", "", { revision: revision + 1 }))).toBe("compacted");
    expect(again.machine.get(bytes("a"), revision + BUMP)).toMatchObject({ ok: true });
  });

  it("is of the new cluster, complete, at the index behind which its log begins", () => {
    const { machine } = restored(filled(), BUMP);
    expect(machine).toMatchObject({ clusterId: "00000000000000c2", clusterUid: "uid", appliedIndex: 1, alarms: [] });
    expect(machine.founding).toEqual({ size: 2, complete: true, awaited: [] });
    expect(machine.members().map(({ id }) => id)).toEqual(["00000000000000b1", "00000000000000b2"]);
  });

  it("goes on, whatever the last write was, and can be frozen and restored again", () => {
    for (const last of [put("last", "1"), remove("a"), remove("a", "z")]) {
      const again = restored(restored(filled(last), BUMP), BUMP);
      const { revision } = again.machine;
      again.apply(put("b", "1"));
      expect(again.machine.revision).toBe(revision + 1);
      again.machine.checkInvariants();
    }
  });

  it("keeps revisions and history when nothing is added", () => {
    const at = filled();
    const again = restored(at, 0);
    expect(again.hash()).toBe(at.hash());
    expect(again.machine.get(bytes("a"), 2)).toEqual(at.machine.get(bytes("a"), 2));
  });

  it("stays empty when nothing was ever written", () => {
    const { machine } = restored(new Fixture(), BUMP);
    expect(machine).toMatchObject({ revision: 1, compactRevision: -1 });
  });

  it("leaves idempotency keys behind, keeps leases and the ends of rows", () => {
    const at = new Fixture();
    at.apply({ type: "leaseGrant", id: 7n, ttlSeconds: 60 });
    at.apply({ ...put("leased", "1"), lease: 7n });
    at.apply({ ...put("ends", "1"), ttlMs: 5000 });
    const again = restored(at, BUMP);
    expect(again.machine.leases.get(7n)).toEqual(at.machine.leases.get(7n));
    expect(again.machine.rowsWithEnd).toBe(1);
    expect(again.machine.clusterTimeMs).toBe(at.machine.clusterTimeMs);
    again.apply({ type: "leaseRevoke", id: 7n });
    expect(again.machine.stats()).toMatchObject({ keys: 1, records: 0 });
    again.machine.checkInvariants();
  });

  it("is refused when its revision would not be a number any more", () => {
    expect(() => restored(filled(), Number.MAX_SAFE_INTEGER)).toThrow(CorruptPageError);
  });
});
