import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { bytes, Fixture, load, pagesOf, put, range, remove, txn } from "../../test/model/machine-fixture.ts";
import { plain } from "../../test/model/naive-machine.ts";
import { type Command, type Operation, type Outcome } from "./commands.ts";
import { type Idempotency, Machine } from "./machine.ts";
import { SEGMENT_RECORDS } from "./write-records.ts";

const HOUR_MS = 3_600_000;

/** Keys as numbers: their digests are as if they were cryptographic. */
function named(key: number, request = 0, more: Partial<Idempotency> = {}): Idempotency {
  const digest = new Uint8Array(16);
  const view = new DataView(digest.buffer);
  for (let word = 0; word < 4; word += 1) view.setUint32(4 * word, Math.imul(key + 1, 0x9e3779b1 + 2 * word) >>> 0);
  view.setUint32(12, key);
  const requestDigest = new Uint8Array(8);
  requestDigest[0] = request;
  return { key: digest, request: requestDigest, ttlMs: HOUR_MS, budgetBytes: 2 ** 40, ...more };
}

class Keyed extends Fixture {
  once(command: Command, idempotency: Idempotency, clusterTimeMs = 0): Outcome {
    const index = this.machine.appliedIndex + 1;
    return this.machine.apply({ index, clusterTimeMs, wallTimeMs: 0, idempotency }, command);
  }

  reload(): void {
    const frozen = this.machine.freeze({ onlyDirty: false });
    this.machine = load(pagesOf(frozen), frozen.meta);
  }
}

const sayOf = (outcome: Outcome): unknown =>
  outcome.ok ? { revision: outcome.revision, ...(plain(outcome.reply) as object) } : outcome.reason;

describe("a write with an idempotency key", () => {
  it("is applied once, and its retry gets the same answer at the same revision", () => {
    const at = new Keyed();
    const first = at.once(put("a", "1"), named(1));
    at.apply(put("a", "2"));
    const second = at.once(put("a", "1"), named(1));
    expect(second).toEqual({ ...first, replayed: true });
    expect(at.say(range("a"))).toMatchObject({ rows: [{ value: "2" }] });
    expect(at.machine.writeRevision(named(1).key)).toBe(2);
    expect(at.machine.writeRevision(named(2).key)).toBeUndefined();
  });

  it("conflicts with another request under its key", () => {
    const at = new Keyed();
    at.once(put("a", "1"), named(1));
    expect(at.once(put("b", "1"), named(1, 1))).toMatchObject({ ok: false, reason: "idempotencyConflict" });
    expect(at.say(range("b"))).toMatchObject({ rows: [] });
  });

  it("leaves nothing behind when it is refused, so that its retry is judged anew", () => {
    const at = new Keyed();
    const hung = put("a", "1", { lease: 7n });
    expect(at.once(hung, named(1))).toMatchObject({ ok: false, reason: "leaseNotFound" });
    at.apply({ type: "leaseGrant", id: 7n, ttlSeconds: 60 });
    expect(at.once(hung, named(1))).toMatchObject({ ok: true, revision: 2 });
  });

  it("tells a lease's id and time, what a delete deleted and which branch ran", () => {
    const at = new Keyed();
    const grant = { type: "leaseGrant", id: 9n, ttlSeconds: 60 } as const;
    const granted = at.once(grant, named(1));
    expect(at.once({ ...grant, id: 12n }, named(1))).toEqual({ ...granted, replayed: true });
    at.apply(put("a", "1", { lease: 9n }));
    const revoked = at.once({ type: "leaseRevoke", id: 9n }, named(2));
    expect(at.once({ type: "leaseRevoke", id: 9n }, named(2))).toEqual({ ...revoked, replayed: true });
    const compacted = at.once({ type: "compact", revision: 2 }, named(3));
    expect(at.once({ type: "compact", revision: 2 }, named(3))).toEqual({ ...compacted, replayed: true });
    const absent = { key: bytes("a"), rangeEnd: bytes(""), target: "create", result: "equal", operand: 0 } as const;
    const create = txn([absent], [put("a", "1")], [range("a")]);
    const created = at.once(create, named(4));
    expect(at.once(create, named(4))).toEqual({ ...created, replayed: true });
  });

  it("is remembered for its time, and forgotten then", () => {
    const at = new Keyed();
    at.once(put("a", "1"), named(1), 1000);
    expect(at.once(put("a", "1"), named(1), 1000 + HOUR_MS - 1)).toMatchObject({ revision: 2, replayed: true });
    expect(at.once(put("a", "1"), named(1), 1000 + HOUR_MS)).toEqual({
      ok: true,
      revision: 3,
      reply: { type: "put", previous: undefined },
    });
    expect(at.once(put("a", "1"), named(1), 1000 + HOUR_MS)).toMatchObject({ revision: 3, replayed: true });
    for (let i = 0; i < SEGMENT_RECORDS; i += 1) at.once(put("b", "1"), named(100 + i), 1000 + HOUR_MS);
    expect(at.machine.stats().records).toBe(SEGMENT_RECORDS + 1);
    at.once(put("b", "1"), named(1), 2000 + 2 * HOUR_MS);
    expect(at.machine.stats().records).toBe(2);
    expect(at.machine.writeRevision(named(1).key)).toBe(at.machine.revision);
  });

  it("is refused when there is no room for its key, and retries of others are still recognised", () => {
    const at = new Keyed();
    const tight = { budgetBytes: 1 };
    at.once(put("a", "1"), named(1, 0, tight));
    expect(at.once(put("a", "2"), named(2, 0, tight))).toMatchObject({ ok: false, reason: "tooManyRecords" });
    expect(at.once(put("a", "1"), named(1, 0, tight))).toMatchObject({ ok: true, revision: 2, replayed: true });
    expect(at.once(put("a", "2"), named(2, 0, tight), 2 * HOUR_MS)).toMatchObject({ ok: true, revision: 3 });
  });

  it("leaves rows out of a repeated answer when they have been compacted", () => {
    const at = new Keyed();
    at.apply(put("a", "1"));
    const replaced = put("a", "2", { previous: true });
    expect(sayOf(at.once(replaced, named(1)))).toMatchObject({ revision: 3, previous: { value: "1" } });
    expect(sayOf(at.once(replaced, named(1)))).toMatchObject({ revision: 3, previous: { value: "1" } });
    at.apply(put("a", "3"));
    at.apply({ type: "compact", revision: 3 });
    at.sweepAll();
    expect(at.once(replaced, named(1))).toEqual({
      ok: true,
      revision: 3,
      reply: { type: "put", previous: undefined },
      replayed: true,
    });
  });
});

const key = fc.constantFrom("a", "b", "c", "d");
const operation = fc.oneof(
  fc
    .record({ key, value: fc.constantFrom("1", "2"), previous: fc.boolean() })
    .map((it) => put(it.key, it.value, { previous: it.previous })),
  fc.record({ key, previous: fc.boolean() }).map((it) => remove(it.key, "", it.previous)),
  fc.constant(remove("b", "d", true)),
  fc.constantFrom(range("a", "z"), range("b"), range("a", "z", { limit: 1, sortTarget: "mod", sortOrder: "descend" })),
);
const compare = fc.record({
  key: key.map(bytes),
  rangeEnd: fc.constant(bytes("")),
  target: fc.constant("version" as const),
  result: fc.constantFrom("equal" as const, "less" as const),
  operand: fc.nat(2),
});
const leaf = fc.record({
  compares: fc.array(compare, { maxLength: 2 }),
  success: fc.array(operation, { maxLength: 3 }),
  failure: fc.array(operation, { maxLength: 3 }),
});
const command: fc.Arbitrary<Operation> = fc.oneof(
  operation,
  leaf.map((it) => txn(it.compares, it.success, it.failure)),
  fc
    .record({ outer: leaf, inner: leaf })
    .map(({ outer, inner }) =>
      txn(outer.compares, [...outer.success, txn(inner.compares, inner.success, inner.failure)], outer.failure),
    ),
);

describe("answers to retries", () => {
  it("are those of the first attempt, whatever was written since and however the state was reloaded", () => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 25 }), fc.boolean(), (commands, reload) => {
        const at = new Keyed();
        const firsts = commands.map((each, number) => at.once(each, named(number)));
        if (reload) at.reload();
        const revision = at.machine.revision;
        for (const [number, each] of commands.entries()) {
          const first = firsts[number] as Outcome;
          if (!first.ok || Machine.isReadOnly(each)) continue;
          expect(sayOf(at.once(each, named(number)))).toEqual(sayOf(first));
          expect(at.machine.revision).toBe(revision);
        }
        at.machine.checkInvariants();
      }),
      { numRuns: 300, seed: 11 },
    );
  });
});

describe("records in a checkpoint", () => {
  it("come back from the dirty pages of several, without those that were forgotten", () => {
    const at = new Keyed();
    const pages = new Map<number, Uint8Array>();
    let meta = new Uint8Array();
    const checkpoint = (): void => {
      const frozen = at.machine.freeze({ onlyDirty: true });
      for (const number of frozen.removedPages) pages.delete(number);
      for (const page of pagesOf(frozen)) pages.set(page.number, page.bytes);
      meta = Uint8Array.from(frozen.meta);
      at.machine.checkpointed(frozen);
      frozen.close();
    };
    for (let i = 0; i < 2.5 * SEGMENT_RECORDS; i += 1) {
      at.once(put("a", String(i)), named(i), Math.floor(i / SEGMENT_RECORDS) * HOUR_MS);
      if (i % 500 === 0) checkpoint();
    }
    checkpoint();
    const again = new Keyed();
    again.machine = load(
      [...pages].map(([number, page]) => ({ number, bytes: page })),
      meta,
    );
    expect(again.machine.stats()).toEqual(at.machine.stats());
    const late = 2 * SEGMENT_RECORDS + 3;
    expect(again.once(put("a", String(late)), named(late), 2 * HOUR_MS)).toMatchObject({ replayed: true });
    expect(again.once(put("a", "0"), named(0), 2 * HOUR_MS)).not.toHaveProperty("replayed");
  });
});
