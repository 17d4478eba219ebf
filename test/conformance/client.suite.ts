import { expect } from "vitest";
import { type Compare, type CompareResult } from "../../node/client/wire/types.ts";
import { type Feature } from "./doors/door.ts";
import { replyAt, text, type Trial, utf8 } from "./trial.ts";

/** One rule of the store, that every door keeps to. */
export interface Rule {
  readonly id: string;
  readonly rule: string;
  /** Doors that lack one of them cannot be asked. */
  readonly needs?: readonly Feature[];
  readonly run: (t: Trial) => Promise<void>;
}

type Row = readonly [id: string, rule: string, run: (t: Trial) => Promise<void>, needs?: readonly Feature[]];
const rules = (rows: readonly Row[]): readonly Rule[] =>
  rows.map(([id, rule, run, needs = []]) => ({ id, rule, run, needs }));

const PUT = rules([
  [
    "PUT1",
    "a put raises the revision by one, and answers with it",
    async (t) => {
      const before = await t.revision();
      await t.put("k", "1");
      expect(await t.revision()).toBe(before + 1);
      expect((await t.get("k"))?.modRevision).toBe(before + 1);
    },
  ],
  [
    "PUT2",
    "a put of an equal value is a change like any other",
    async (t) => {
      await t.put("k", "1");
      const before = await t.revision();
      await t.put("k", "1");
      expect(await t.get("k")).toMatchObject({ modRevision: before + 1, version: 2 });
    },
  ],
  [
    "PUT3",
    "the create revision stays while the key is there, the version counts its changes",
    async (t) => {
      await t.put("k", "1");
      const created = (await t.get("k"))!.modRevision;
      await t.put("k", "2");
      await t.put("k", "3");
      expect(await t.get("k")).toMatchObject({ createRevision: created, modRevision: created + 2, version: 3 });
    },
  ],
  [
    "PUT4",
    "after a delete a key begins anew, with version 1",
    async (t) => {
      await t.put("k", "1");
      await t.put("k", "2");
      await t.delete(t.one("k"));
      await t.put("k", "3");
      const row = (await t.get("k"))!;
      expect(row).toMatchObject({ version: 1, createRevision: row.modRevision });
    },
  ],
  [
    "PUT5",
    "a put returns the row before when it is asked to, and none for a new key",
    async (t) => {
      expect((await t.put("k", "1", { previous: true })).reply.previous).toBeUndefined();
      const { previous } = (await t.put("k", "2", { previous: true })).reply;
      expect([text(previous?.value), previous?.version]).toEqual(["1", 1]);
    },
  ],
  [
    "PUT6",
    "values are bytes: empty ones, zero bytes and what is no UTF-8 come back as they were",
    async (t) => {
      const all = Uint8Array.from({ length: 256 }, (_, at) => at);
      for (const value of [new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(0xff, 0xfe), all]) {
        await t.put("k", value);
        expect(Buffer.from((await t.get("k"))!.value)).toEqual(Buffer.from(value));
      }
    },
  ],
  [
    "PUT7",
    "keys are bytes too, and names of JavaScript are ordinary ones",
    async (t) => {
      for (const name of ["__proto__", "constructor", "toString", "a\0b", "\n", "é", "e\u0301", "%2e/../x", " "]) {
        await t.put(name, name);
        expect(text((await t.get(name))?.value)).toBe(name);
      }
      expect((await t.range(t.all)).reply.count).toBe(9);
    },
  ],
  [
    "PUT8",
    "an empty key is refused",
    async (t) => {
      await t.refuses("CONCORD_KEY_EMPTY", t.ask("put", { ...t.putOf("", "v"), key: utf8("") }));
    },
  ],
  [
    "PUT9",
    "a key of 1024 bytes is taken, one of 1025 refused",
    async (t) => {
      const key = (length: number): Uint8Array => Buffer.concat([t.key(""), Buffer.alloc(length, "k")], length);
      await t.ask("put", { ...t.putOf("", "v"), key: key(1024) });
      await t.refuses("CONCORD_INVALID_ARGUMENT", t.ask("put", { ...t.putOf("", "v"), key: key(1025) }));
    },
    ["key length"],
  ],
  [
    "PUT10",
    "a value of 1.5 MiB less its frame is taken, one above 1.5 MiB refused",
    async (t) => {
      await t.put("k", new Uint8Array(1_500_000));
      expect((await t.get("k"))?.value.length).toBe(1_500_000);
      await t.refuses("CONCORD_REQUEST_TOO_LARGE", t.put("k", new Uint8Array(1_572_865)));
      expect((await t.get("k"))?.version).toBe(1);
    },
  ],
  [
    "PUT11",
    "a put on a lease that is not there is refused, and nothing is written",
    async (t) => {
      const before = await t.revision();
      await t.refuses("CONCORD_LEASE_NOT_FOUND", t.put("k", "v", { lease: 0x7000_0000_0000_0001n }));
      expect([await t.get("k"), await t.revision()]).toEqual([undefined, before]);
    },
  ],
  [
    "PUT12",
    "a put that names no lease takes the key off the one it was on",
    async (t) => {
      const lease = await t.lease();
      await t.put("k", "1", { lease });
      expect((await t.get("k"))?.lease).toBe(lease);
      await t.put("k", "2");
      expect((await t.get("k"))?.lease).toBe(0n);
    },
  ],
  [
    "PUT13",
    "a put may keep the value, or the lease, of the key",
    async (t) => {
      const lease = await t.lease();
      await t.put("k", "1", { lease });
      await t.put("k", "2", { ignoreLease: true });
      expect(await t.get("k")).toMatchObject({ lease, version: 2 });
      await t.put("k", "", { ignoreValue: true });
      expect(text((await t.get("k"))?.value)).toBe("2");
    },
    ["keep value or lease"],
  ],
  [
    "PUT14",
    "keeping the value of a key that is not there, or beside a value, is refused",
    async (t) => {
      await t.refuses("CONCORD_KEY_NOT_FOUND", t.put("k", "", { ignoreValue: true }));
      await t.refuses("CONCORD_VALUE_PROVIDED", t.put("k", "v", { ignoreValue: true }));
      await t.refuses("CONCORD_LEASE_PROVIDED", t.put("k", "v", { ignoreLease: true, lease: 5n }));
      expect(await t.get("k")).toBeUndefined();
    },
    ["keep value or lease"],
  ],
  [
    "PUT15",
    "the media type that a put names comes back with the row, and goes with the next put",
    async (t) => {
      await t.put("k", "{}", { contentType: "application/json" });
      expect((await t.get("k"))?.contentType).toBe("application/json");
      await t.txn([], [t.putOf("k", "1")]);
      expect((await t.get("k"))?.contentType).toBeUndefined();
      await t.refuses("CONCORD_INVALID_ARGUMENT", t.txn([], [t.putOf("k", "1", { contentType: "é" })]));
    },
    ["content type"],
  ],
]);

const DELETE = rules([
  [
    "DEL1",
    "a delete counts what it deleted, and raises the revision by one",
    async (t) => {
      for (const name of ["a", "b", "c"]) await t.put(name, name);
      const before = await t.revision();
      expect((await t.delete(t.all)).reply.deleted).toBe(3);
      expect([await t.revision(), (await t.range(t.all)).reply.count]).toEqual([before + 1, 0]);
    },
  ],
  [
    "DEL2",
    "a delete of nothing raises nothing",
    async (t) => {
      const before = await t.revision();
      expect((await t.delete(t.all)).reply).toMatchObject({ deleted: 0, previous: [] });
      expect(await t.revision()).toBe(before);
    },
  ],
  [
    "DEL3",
    "a delete returns the rows, in the order of their keys, when it is asked to",
    async (t) => {
      for (const name of ["b", "a"]) await t.put(name, name.toUpperCase());
      const { previous } = (await t.delete(t.all, true)).reply;
      expect(previous.map((row) => text(row.value))).toEqual(["A", "B"]);
    },
  ],
  [
    "DEL4",
    "a range that ends before it begins deletes nothing",
    async (t) => {
      await t.put("b", "1");
      expect((await t.delete({ key: t.key("c"), rangeEnd: t.key("a") })).reply.deleted).toBe(0);
    },
  ],
  [
    "DEL5",
    "the end of a range does not belong to it",
    async (t) => {
      for (const name of ["a", "b", "c"]) await t.put(name, name);
      await t.delete({ key: t.key("a"), rangeEnd: t.key("c") });
      expect(t.names((await t.range(t.all)).reply.rows)).toEqual(["c"]);
    },
  ],
  [
    "DEL6",
    "an empty key is refused",
    async (t) => {
      await t.refuses("CONCORD_KEY_EMPTY", t.delete({ key: utf8(""), rangeEnd: utf8("") }));
    },
  ],
]);

const RANGE = rules([
  [
    "RNG1",
    "a key that is not there gives no row, and no error",
    async (t) => {
      expect((await t.range(t.one("k"))).reply).toMatchObject({ rows: [], count: 0, more: false });
    },
  ],
  [
    "RNG2",
    "rows come in the order of their keys' bytes",
    async (t) => {
      for (const name of ["b", "a\u00ff", "aa", "a", "\u{1f600}", "Z"]) await t.put(name, "v");
      expect(t.names((await t.range(t.all)).reply.rows)).toEqual(["Z", "a", "aa", "aÿ", "b", "😀"]);
    },
  ],
  [
    "RNG3",
    "the count is of all keys of the range, the limit of what is returned, and more tells of the rest",
    async (t) => {
      for (const name of ["a", "b", "c"]) await t.put(name, name);
      const { rows, count, more } = (await t.range(t.all, { limit: 2 })).reply;
      expect([t.names(rows), count, more]).toEqual([["a", "b"], 3, true]);
      expect((await t.range(t.all, { limit: 3 })).reply).toMatchObject({ count: 3, more: false });
    },
  ],
  [
    "RNG4",
    "a range of keys alone has no values",
    async (t) => {
      await t.put("a", "1");
      const [row] = (await t.range(t.all, { keysOnly: true })).reply.rows;
      expect([t.name(row), row?.value.length, row?.version]).toEqual(["a", 0, 1]);
    },
  ],
  [
    "RNG5",
    "one zero byte as the end is everything from the key on",
    async (t) => {
      for (const name of ["a", "b"]) await t.put(name, name);
      const { rows } = (await t.range({ key: t.key("b"), rangeEnd: Uint8Array.of(0) }, { limit: 1 })).reply;
      expect(t.names(rows)).toEqual(["b"]);
    },
  ],
  [
    "RNG6",
    "pages of one revision leave nothing out, whatever is written meanwhile",
    async (t) => {
      for (const name of ["a", "b", "c", "d"]) await t.put(name, name);
      const revision = await t.revision();
      const seen: (string | undefined)[] = [];
      for (let key = t.all.key; ;) {
        const { rows, more } = (await t.range({ ...t.all, key }, { limit: 1, revision })).reply;
        seen.push(...t.names(rows));
        await t.put(`b${seen.length}`, "new");
        await t.delete(t.one("c"));
        if (!more) break;
        key = Buffer.concat([rows.at(-1)!.key, Uint8Array.of(0)]);
      }
      expect(seen).toEqual(["a", "b", "c", "d"]);
    },
  ],
  [
    "RNG7",
    "sorting comes before the limit, by whatever it is",
    async (t) => {
      await t.put("a", "2");
      await t.put("b", "3");
      await t.put("c", "1");
      await t.put("a", "2");
      const first = async (flags: object): Promise<string | undefined> =>
        t.name((await t.range(t.all, { limit: 1, ...flags })).reply.rows[0]);
      expect(await first({ sortTarget: "value", sortOrder: "descend" })).toBe("b");
      expect(await first({ sortTarget: "value", sortOrder: "ascend" })).toBe("c");
      expect(await first({ sortTarget: "create", sortOrder: "descend" })).toBe("c");
      expect(await first({ sortTarget: "mod", sortOrder: "descend" })).toBe("a");
      expect(await first({ sortTarget: "version", sortOrder: "descend" })).toBe("a");
      expect(await first({ sortTarget: "key", sortOrder: "descend" })).toBe("c");
    },
    ["sort"],
  ],
  [
    "RNG8",
    "what is sorted by something else than the key without an order is in ascending order",
    async (t) => {
      for (const [name, value] of [
        ["a", "3"],
        ["b", "1"],
        ["c", "2"],
      ] as const)
        await t.put(name, value);
      const { rows } = (await t.range(t.all, { sortTarget: "value" })).reply;
      expect(t.names(rows)).toEqual(["b", "c", "a"]);
    },
    ["sort"],
  ],
  [
    "RNG9",
    "rows may be chosen by their revisions, and the count does not mind",
    async (t) => {
      for (const name of ["a", "b", "c"]) await t.put(name, name);
      const b = (await t.get("b"))!.modRevision;
      const found = async (flags: object): Promise<unknown> => {
        const { rows, count } = (await t.range(t.all, flags)).reply;
        return [t.names(rows), count];
      };
      expect(await found({ minModRevision: b })).toEqual([["b", "c"], 3]);
      expect(await found({ maxModRevision: b })).toEqual([["a", "b"], 3]);
      expect(await found({ minCreateRevision: b + 1 })).toEqual([["c"], 3]);
      expect(await found({ maxCreateRevision: b - 1 })).toEqual([["a"], 3]);
    },
    ["revision filters"],
  ],
  [
    "RNG10",
    "a range may be counted alone",
    async (t) => {
      for (const name of ["a", "b", "c"]) await t.put(name, name);
      expect((await t.range(t.all, { countOnly: true, limit: 1 })).reply).toMatchObject({ rows: [], count: 3 });
    },
    ["count only"],
  ],
  [
    "RNG11",
    "an empty key is refused",
    async (t) => {
      await t.refuses("CONCORD_KEY_EMPTY", t.range({ key: utf8(""), rangeEnd: utf8("") }));
    },
  ],
]);

const HISTORY = rules([
  [
    "HIS1",
    "a read as of an earlier revision shows the store as it was",
    async (t) => {
      await t.put("a", "1");
      const then = await t.revision();
      await t.put("a", "2");
      await t.put("b", "1");
      await t.delete(t.one("a"));
      const { rows, count } = (await t.range(t.all, { revision: then })).reply;
      expect([t.names(rows), text(rows[0]?.value), count]).toEqual([["a"], "1", 1]);
      expect((await t.range(t.all, { revision: then + 2 })).reply.count).toBe(2);
    },
  ],
  [
    "HIS2",
    "a read of a revision to come is refused",
    async (t) => {
      await t.refuses("CONCORD_FUTURE_REVISION", t.range(t.all, { revision: (await t.revision()) + 1000 }));
    },
  ],
  [
    "HIS3",
    "after a compaction what is before it is refused, and says where history begins; what is at it is not",
    async (t) => {
      await t.put("a", "1");
      await t.put("a", "2");
      const at = await t.revision();
      await t.put("a", "3");
      await t.ask("compact", { type: "compact", revision: at });
      expect(text((await t.get("a", { revision: at }))?.value)).toBe("2");
      await t.refuses("CONCORD_COMPACTED", t.range(t.all, { revision: at - 1 }));
      expect(text((await t.get("a"))?.value)).toBe("3");
    },
  ],
  [
    "HIS4",
    "a compaction keeps the newest row of every key that is there, and drops what was deleted before it",
    async (t) => {
      await t.put("a", "1");
      await t.put("b", "1");
      await t.delete(t.one("b"));
      const at = await t.revision();
      await t.ask("compact", { type: "compact", revision: at });
      expect(t.names((await t.range(t.all, { revision: at })).reply.rows)).toEqual(["a"]);
    },
  ],
  [
    "HIS5",
    "a compaction of the future, or of what is compacted, is refused",
    async (t) => {
      await t.put("a", "1");
      const at = await t.revision();
      await t.refuses("CONCORD_FUTURE_REVISION", t.ask("compact", { type: "compact", revision: at + 1000 }));
      await t.ask("compact", { type: "compact", revision: at });
      await t.refuses("CONCORD_COMPACTED", t.ask("compact", { type: "compact", revision: at }));
      expect(await t.revision()).toBe(at);
    },
  ],
  [
    "HIS6",
    "the history of a key is its changes, newest first, deletes among them",
    async (t) => {
      await t.put("k", "1");
      await t.put("k", "2");
      await t.delete(t.one("k"));
      const history = { type: "history", key: t.key("k"), fromRevision: 0, toRevision: 0, limit: 0 } as const;
      const { rows } = (await t.ask("history", history)).reply;
      expect(rows.map(({ version, value }) => [version, text(value)])).toEqual([
        [0, ""],
        [2, "2"],
        [1, "1"],
      ]);
      const { reply } = await t.ask("history", { ...history, limit: 1 });
      expect([reply.rows.length, reply.more]).toEqual([1, true]);
    },
    ["history"],
  ],
]);

const TXN = rules([
  [
    "TXN1",
    "a txn does all of one branch, at one revision",
    async (t) => {
      const before = await t.revision();
      const answer = await t.txn([], [t.putOf("a", "1"), t.putOf("b", "2")], [t.putOf("c", "3")]);
      expect([answer.reply.succeeded, answer.revision]).toEqual([true, before + 1]);
      const { rows } = (await t.range(t.all)).reply;
      expect(rows.map(({ modRevision }) => modRevision)).toEqual([before + 1, before + 1]);
    },
  ],
  [
    "TXN2",
    "the other branch is done when a compare does not hold",
    async (t) => {
      await t.put("a", "1");
      const absent = { ...t.one("a"), target: "create", result: "equal", operand: 0 } as const;
      const answer = await t.txn([absent], [t.putOf("b", "1")], [t.rangeOf(t.one("a"))]);
      expect(answer.reply.succeeded).toBe(false);
      expect(replyAt(answer, 0).rows).toHaveLength(1);
      expect(await t.get("b")).toBeUndefined();
    },
  ],
  [
    "TXN3",
    "a txn that writes nothing raises nothing",
    async (t) => {
      const before = await t.revision();
      const never = { ...t.one("a"), target: "version", result: "greater", operand: 5 } as const;
      await t.txn([never], [t.putOf("a", "1")]);
      await t.txn([], [t.rangeOf(t.all)]);
      await t.txn([], []);
      expect(await t.revision()).toBe(before);
    },
  ],
  [
    "TXN4",
    "compares see the store before the txn, reads what its writes did so far",
    async (t) => {
      const absent = { ...t.one("a"), target: "version", result: "equal", operand: 0 } as const;
      const answer = await t.txn([absent], [t.putOf("a", "1"), t.rangeOf(t.one("a")), t.putOf("b", "2")]);
      expect(text(replyAt(answer, 1).rows[0]?.value)).toBe("1");
    },
  ],
  [
    "TXN5",
    "compares of a txn inside a txn see the store before the whole",
    async (t) => {
      const inner = {
        type: "txn",
        compares: [{ ...t.one("a"), target: "version", result: "equal", operand: 0 }],
        success: [t.putOf("inner", "before")],
        failure: [t.putOf("inner", "after")],
      } as const;
      const answer = await t.txn([], [t.putOf("a", "1"), inner]);
      expect(replyAt(answer, 1).succeeded).toBe(true);
      expect(text((await t.get("inner"))?.value)).toBe("before");
    },
  ],
  [
    "TXN6",
    "a key that is put twice, or put and deleted, in one branch is refused",
    async (t) => {
      await t.refuses("CONCORD_DUPLICATE_KEY", t.txn([], [t.putOf("a", "1"), t.putOf("a", "2")]));
      await t.refuses("CONCORD_DUPLICATE_KEY", t.txn([], [t.putOf("a", "1"), t.deleteOf(t.all)]));
      await t.refuses("CONCORD_DUPLICATE_KEY", t.txn([], [], [t.putOf("a", "1"), t.putOf("a", "2")]));
      expect((await t.range(t.all)).reply.count).toBe(0);
    },
  ],
  [
    "TXN7",
    "a key may be put in both branches",
    async (t) => {
      await t.txn([], [t.putOf("a", "yes")], [t.putOf("a", "no")]);
      expect(text((await t.get("a"))?.value)).toBe("yes");
    },
  ],
  [
    "TXN8",
    "an operation that cannot be done undoes the whole, what is before it too",
    async (t) => {
      const before = await t.revision();
      await t.refuses("CONCORD_LEASE_NOT_FOUND", t.txn([], [t.putOf("a", "1"), t.putOf("b", "2", { lease: 99n })]));
      const future = t.rangeOf(t.all, { revision: before + 1000 });
      await t.refuses("CONCORD_FUTURE_REVISION", t.txn([], [t.putOf("a", "1"), future]));
      expect([(await t.range(t.all)).reply.count, await t.revision()]).toEqual([0, before]);
    },
  ],
  [
    "TXN9",
    "the branch that is not taken may hold what could not be done",
    async (t) => {
      const answer = await t.txn([], [t.putOf("a", "1")], [t.putOf("b", "2", { lease: 99n })]);
      expect(answer.reply.succeeded).toBe(true);
    },
  ],
  [
    "TXN10",
    "128 operations in a branch are taken",
    async (t) => {
      const before = await t.revision();
      await t.txn(
        [],
        Array.from({ length: 128 }, (_, at) => t.putOf(`k${at}`, "v")),
      );
      expect([(await t.range(t.all)).reply.count, await t.revision()]).toEqual([128, before + 1]);
    },
  ],
  [
    "TXN11",
    "changes of one txn are told in its order, before another revision is",
    async (t) => {
      const watch = await t.watch(t.all);
      const base = await t.revision();
      await t.txn([], [t.putOf("b", "1"), t.putOf("a", "2")]);
      await t.put("c", "3");
      expect((await watch.take(3, base)).sort()).toEqual(["1 put a 2", "1 put b 1", "2 put c 3"]);
      watch.cancel();
    },
  ],
  [
    "TXN12",
    "a delete inside a txn counts and returns as one outside does",
    async (t) => {
      await t.put("a", "1");
      const answer = await t.txn([], [t.deleteOf(t.one("a"), true), t.putOf("b", "2", { previous: true })]);
      expect(replyAt(answer, 0).deleted).toBe(1);
      expect(text(replyAt(answer, 0).previous[0]?.value)).toBe("1");
    },
  ],
  [
    "TXN13",
    "an empty key in a compare is refused",
    async (t) => {
      const compare = { key: utf8(""), rangeEnd: utf8(""), target: "version", result: "equal", operand: 0 } as const;
      await t.refuses("CONCORD_KEY_EMPTY", t.txn([compare], []));
    },
  ],
]);

type Target = Compare["target"];
/** Operands below, at and above what the row `k` has, for each target. */
async function around(
  t: Trial,
  target: Target,
): Promise<readonly [below: Compare["operand"], at: Compare["operand"], above: Compare["operand"]]> {
  const row = (await t.get("k"))!;
  if (target === "value") return [utf8("1"), utf8("2"), utf8("3")];
  if (target === "lease") return [row.lease - 1n, row.lease, row.lease + 1n];
  const number = { version: row.version, create: row.createRevision, mod: row.modRevision }[target];
  return [number - 1, number, number + 1];
}

const TARGETS: readonly Target[] = ["version", "create", "mod", "value", "lease"];
const COMPARE: readonly Rule[] = [
  ...TARGETS.map((target, at) => ({
    id: `CMP${at + 1}`,
    rule: `the ${target} of a row is compared by equal, not equal, greater and less`,
    run: async (t: Trial) => {
      await t.put("k", "1");
      await t.put("k", "2", { lease: await t.lease(60, 0x5000_0000_0000_0000n + BigInt(at)) });
      const operands = await around(t, target);
      const held = async (result: CompareResult): Promise<boolean[]> => {
        const outcomes: boolean[] = [];
        for (const operand of operands)
          outcomes.push(await t.holds({ ...t.one("k"), target, result, operand } as Compare));
        return outcomes;
      };
      expect(await held("equal")).toEqual([false, true, false]);
      expect(await held("notEqual")).toEqual([true, false, true]);
      expect(await held("greater")).toEqual([true, false, false]);
      expect(await held("less")).toEqual([false, false, true]);
    },
  })),
  ...rules([
    [
      "CMP6",
      "a row that is not there has version and revisions 0",
      async (t) => {
        for (const target of ["version", "create", "mod"] as const) {
          expect(await t.holds({ ...t.one("k"), target, result: "equal", operand: 0 })).toBe(true);
          expect(await t.holds({ ...t.one("k"), target, result: "less", operand: 1 })).toBe(true);
          expect(await t.holds({ ...t.one("k"), target, result: "notEqual", operand: 0 })).toBe(false);
        }
        expect(await t.holds({ ...t.one("k"), target: "lease", result: "equal", operand: 0n })).toBe(true);
      },
    ],
    [
      "CMP7",
      "the value of a row that is not there holds against nothing, not even unequal to it",
      async (t) => {
        for (const result of ["equal", "notEqual", "greater", "less"] as const)
          expect(await t.holds({ ...t.one("k"), target: "value", result, operand: utf8("") })).toBe(false);
      },
    ],
    [
      "CMP8",
      "values are compared as bytes",
      async (t) => {
        await t.put("k", Uint8Array.of(0x80));
        expect(
          await t.holds({ ...t.one("k"), target: "value", result: "greater", operand: Uint8Array.of(0x7f, 0xff) }),
        ).toBe(true);
        expect(await t.holds({ ...t.one("k"), target: "value", result: "less", operand: Uint8Array.of(0x80, 0) })).toBe(
          true,
        );
      },
    ],
    [
      "CMP9",
      "a compare of a range holds when it holds for each of its rows",
      async (t) => {
        await t.put("a", "x");
        await t.put("b", "x");
        const compare = { ...t.all, target: "value", result: "equal", operand: utf8("x") } as const;
        expect(await t.holds(compare)).toBe(true);
        await t.put("c", "y");
        expect(await t.holds(compare)).toBe(false);
        expect(await t.holds({ ...t.all, target: "version", result: "equal", operand: 1 })).toBe(true);
      },
    ],
    [
      "CMP10",
      "all compares of a txn must hold",
      async (t) => {
        await t.put("a", "1");
        const yes = { ...t.one("a"), target: "version", result: "equal", operand: 1 } as const;
        const no = { ...t.one("a"), target: "version", result: "equal", operand: 2 } as const;
        expect((await t.txn([yes, no], [])).reply.succeeded).toBe(false);
        expect((await t.txn([yes, yes], [])).reply.succeeded).toBe(true);
      },
    ],
  ]),
];

const LEASE = rules([
  [
    "LEA1",
    "a lease has an id of the store's choice, or of the caller's",
    async (t) => {
      const chosen = await t.lease();
      expect(chosen).toBeGreaterThan(0n);
      expect(await t.lease(60, 0x6000_0000_0000_0001n)).toBe(0x6000_0000_0000_0001n);
      const { ids } = (await t.ask("leases", { type: "leases" })).reply;
      expect(ids).toEqual(expect.arrayContaining([chosen, 0x6000_0000_0000_0001n]));
    },
  ],
  [
    "LEA2",
    "an id that is taken is refused",
    async (t) => {
      const id = await t.lease();
      await t.refuses("CONCORD_LEASE_EXISTS", t.lease(60, id));
    },
  ],
  [
    "LEA3",
    "a time too short is raised to 2 seconds, one too long refused",
    async (t) => {
      expect((await t.ask("leaseGrant", { type: "leaseGrant", id: 0n, ttlSeconds: 1 })).reply.ttlSeconds).toBe(2);
      await t.refuses("CONCORD_LEASE_TTL_TOO_LARGE", t.lease(9_000_000_001));
    },
  ],
  [
    "LEA4",
    "the end of a lease deletes its keys, all at one revision, in the order of their bytes",
    async (t) => {
      const lease = await t.lease();
      await t.put("b", "1", { lease });
      await t.put("a", "1", { lease });
      await t.put("c", "1");
      const base = await t.revision();
      const watch = await t.watch(t.all);
      await t.ask("leaseRevoke", { type: "leaseRevoke", id: lease });
      expect(await watch.take(2, base)).toEqual(["1 delete a", "1 delete b"]);
      expect(t.names((await t.range(t.all)).reply.rows)).toEqual(["c"]);
      watch.cancel();
    },
  ],
  [
    "LEA5",
    "a revoke tells how many keys went with it",
    async (t) => {
      const lease = await t.lease();
      await t.put("a", "1", { lease });
      expect((await t.ask("leaseRevoke", { type: "leaseRevoke", id: lease })).reply.deleted).toBe(1);
    },
    ["count of revoked keys"],
  ],
  [
    "LEA6",
    "a revoke of a lease without keys raises nothing",
    async (t) => {
      const lease = await t.lease();
      const before = await t.revision();
      await t.ask("leaseRevoke", { type: "leaseRevoke", id: lease });
      expect(await t.revision()).toBe(before);
    },
  ],
  [
    "LEA7",
    "a revoke of a lease that is not there is refused",
    async (t) => {
      await t.refuses("CONCORD_LEASE_NOT_FOUND", t.ask("leaseRevoke", { type: "leaseRevoke", id: 77n }));
    },
  ],
  [
    "LEA8",
    "a renewal of a lease that is not there is no error, and no renewal",
    async (t) => {
      const lease = await t.lease();
      expect((await t.ask("leaseKeepAlive", { type: "leaseKeepAlive", id: lease })).reply.ttlSeconds).toBeGreaterThan(
        0,
      );
      await t.ask("leaseRevoke", { type: "leaseRevoke", id: lease });
      expect((await t.ask("leaseKeepAlive", { type: "leaseKeepAlive", id: lease })).reply.ttlSeconds).toBe(0);
    },
  ],
  [
    "LEA9",
    "a lease tells what it was granted for, what it has left, and its keys in order",
    async (t) => {
      const lease = await t.lease(1000);
      for (const name of ["b", "a"]) await t.put(name, "1", { lease });
      const { reply } = await t.ask("leaseTimeToLive", { type: "leaseTimeToLive", id: lease, keys: true });
      expect(reply).toMatchObject({ grantedSeconds: 1000 });
      expect(reply.ttlSeconds).toBeGreaterThan(0);
      expect(reply.ttlSeconds).toBeLessThanOrEqual(1000);
      expect(reply.keys.map(text)).toEqual([text(t.key("a")), text(t.key("b"))]);
    },
  ],
  [
    "LEA10",
    "a lease that is not there has no time to live",
    async (t) => {
      const { reply } = await t.ask("leaseTimeToLive", { type: "leaseTimeToLive", id: 77n, keys: false });
      expect(reply.ttlSeconds).toBeUndefined();
    },
  ],
  [
    "LEA11",
    "a lease that nobody renews ends by itself, and its keys go",
    async (t) => {
      const lease = await t.lease(2);
      const watch = await t.watch(t.all);
      await t.put("k", "1", { lease });
      expect((await watch.take(2)).map((line) => line.split(" ")[1])).toEqual(["put", "delete"]);
      expect(await t.get("k")).toBeUndefined();
      watch.cancel();
    },
  ],
  [
    "LEA12",
    "a key that moved to another lease survives the end of the first",
    async (t) => {
      const [first, second] = [await t.lease(), await t.lease()];
      await t.put("k", "1", { lease: first });
      await t.put("k", "2", { lease: second });
      await t.ask("leaseRevoke", { type: "leaseRevoke", id: first });
      expect((await t.get("k"))?.lease).toBe(second);
    },
  ],
]);

const TTL = rules([
  [
    "TTL1",
    "a row with a time to live tells what is left of it, and is deleted when it is over",
    async (t) => {
      const watch = await t.watch(t.all);
      await t.put("k", "1", { ttlMs: 2000 });
      const { ttlMs = 0 } = (await t.get("k")) ?? {};
      expect(ttlMs).toBeGreaterThan(0);
      expect(ttlMs).toBeLessThanOrEqual(2000);
      expect((await watch.take(2)).map((line) => line.split(" ")[1])).toEqual(["put", "delete"]);
      watch.cancel();
    },
    ["row ttl"],
  ],
  [
    "TTL2",
    "a put that names no time takes the end away",
    async (t) => {
      await t.put("k", "1", { ttlMs: 100_000 });
      await t.put("k", "2");
      expect((await t.get("k"))?.ttlMs).toBeUndefined();
    },
    ["row ttl"],
  ],
  [
    "TTL3",
    "a touch sets the time anew, without a revision and without a change",
    async (t) => {
      await t.put("k", "1", { ttlMs: 1_000_000 });
      const before = await t.get("k");
      const revision = await t.revision();
      const touched = await t.ask("touch", { type: "touch", key: t.key("k"), ttlMs: 5_000_000 });
      expect(touched.reply.touched).toBe(true);
      const after = await t.get("k");
      expect([after?.modRevision, after?.version, await t.revision()]).toEqual([before?.modRevision, 1, revision]);
      expect(after?.ttlMs).toBeGreaterThan(1_000_000);
    },
    ["row ttl"],
  ],
  [
    "TTL4",
    "a touch for no time lets the row stay for ever",
    async (t) => {
      await t.put("k", "1", { ttlMs: 1_000_000 });
      await t.ask("touch", { type: "touch", key: t.key("k"), ttlMs: 0 });
      expect((await t.get("k"))?.ttlMs).toBeUndefined();
    },
    ["row ttl"],
  ],
  [
    "TTL5",
    "a touch of a row that is not there touches nothing",
    async (t) => {
      expect((await t.ask("touch", { type: "touch", key: t.key("k"), ttlMs: 1000 })).reply.touched).toBe(false);
      expect(await t.get("k")).toBeUndefined();
    },
    ["row ttl"],
  ],
  [
    "TTL6",
    "a time of nothing is refused",
    async (t) => {
      await t.refuses("CONCORD_INVALID_ARGUMENT", t.put("k", "1", { ttlMs: 0 }));
      expect(await t.get("k")).toBeUndefined();
    },
    ["row ttl"],
  ],
]);

const WATCH = rules([
  [
    "WAT1",
    "a watch tells of every change after it began, in order",
    async (t) => {
      await t.put("k", "0");
      const base = await t.revision();
      const watch = await t.watch(t.one("k"));
      await t.put("k", "1");
      await t.delete(t.one("k"));
      await t.put("k", "2");
      expect(await watch.take(3, base)).toEqual(["1 put k 1", "2 delete k", "3 put k 2"]);
      watch.cancel();
    },
  ],
  [
    "WAT2",
    "a watch from an earlier revision tells of what happened since, each change once",
    async (t) => {
      const base = await t.revision();
      for (const value of ["1", "2", "3"]) await t.put("k", value);
      const watch = await t.watch(t.all, { startRevision: base + 2 });
      await t.put("k", "4");
      expect(await watch.take(3, base)).toEqual(["2 put k 2", "3 put k 3", "4 put k 4"]);
      watch.cancel();
    },
  ],
  [
    "WAT3",
    "a watch that goes on where another one stopped leaves nothing out",
    async (t) => {
      const base = await t.revision();
      const first = await t.watch(t.all);
      for (const value of ["1", "2"]) await t.put("k", value);
      expect(await first.take(1, base)).toEqual(["1 put k 1"]);
      first.cancel();
      await t.put("k", "3");
      const second = await t.watch(t.all, { startRevision: base + 2 });
      expect(await second.take(2, base)).toEqual(["2 put k 2", "3 put k 3"]);
      second.cancel();
    },
  ],
  [
    "WAT4",
    "a watch of a prefix hears of its keys alone",
    async (t) => {
      const base = await t.revision();
      const watch = await t.watch({ key: t.key("in/"), rangeEnd: t.key("in0") });
      await t.put("in", "1");
      await t.put("in/a", "2");
      await t.put("in0", "3");
      await t.put("in/b", "4");
      expect(await watch.take(2, base)).toEqual(["2 put in/a 2", "4 put in/b 4"]);
      watch.cancel();
    },
  ],
  [
    "WAT5",
    "a watch tells what was there before when it is asked to, and nothing for a new key",
    async (t) => {
      const base = await t.revision();
      const watch = await t.watch(t.all, { previous: true });
      await t.put("k", "1");
      await t.put("k", "2");
      await t.delete(t.one("k"));
      await t.put("k", "3");
      expect(await watch.take(4, base)).toEqual(["1 put k 1", "2 put k 2 (1)", "3 delete k (2)", "4 put k 3"]);
      watch.cancel();
    },
  ],
  [
    "WAT6",
    "puts or deletes may be left out",
    async (t) => {
      const base = await t.revision();
      const deletes = await t.watch(t.all, { filterPut: true });
      const puts = await t.watch(t.all, { filterDelete: true });
      await t.put("k", "1");
      await t.delete(t.one("k"));
      await t.put("k", "2");
      expect(await deletes.take(1, base)).toEqual(["2 delete k"]);
      expect(await puts.take(2, base)).toEqual(["1 put k 1", "3 put k 2"]);
      deletes.cancel();
      puts.cancel();
    },
  ],
  [
    "WAT7",
    "a watch from the future gets nothing earlier",
    async (t) => {
      const base = await t.revision();
      const watch = await t.watch(t.all, { startRevision: base + 3 });
      for (const value of ["1", "2", "3"]) await t.put("k", value);
      expect(await watch.take(1, base)).toEqual(["3 put k 3"]);
      watch.cancel();
    },
  ],
  [
    "WAT8",
    "a watch below the compaction says so, with where history begins; one from there goes on",
    async (t) => {
      await t.put("k", "1");
      await t.put("k", "2");
      const at = await t.revision();
      await t.put("k", "3");
      await t.ask("compact", { type: "compact", revision: at });
      const below = await t.watch(t.all, { startRevision: at - 1 });
      const error = await t.refuses("CONCORD_COMPACTED", below.next());
      expect(error.details["compactRevision"]).toBe(at);
      const from = await t.watch(t.all, { startRevision: at });
      expect(await from.take(2, at)).toEqual(["0 put k 2", "1 put k 3"]);
      from.cancel();
    },
  ],
  [
    "WAT9",
    "a change has the row as it is after it, revisions and version too",
    async (t) => {
      const watch = await t.watch(t.all);
      const base = await t.revision();
      await t.put("k", "1");
      await t.put("k", "2");
      await watch.next();
      expect((await watch.next()).row).toMatchObject({ createRevision: base + 1, modRevision: base + 2, version: 2 });
      watch.cancel();
    },
  ],
  [
    "WAT10",
    "a delete of many keys is one revision, told in the order of the keys",
    async (t) => {
      for (const name of ["c", "a", "b"]) await t.put(name, "1");
      const base = await t.revision();
      const watch = await t.watch(t.all);
      await t.delete(t.all);
      expect(await watch.take(3, base)).toEqual(["1 delete a", "1 delete b", "1 delete c"]);
      watch.cancel();
    },
  ],
  [
    "WAT11",
    "two hundred changes come without a gap and without one twice",
    async (t) => {
      const base = await t.revision();
      const watch = await t.watch(t.all);
      for (let at = 1; at <= 200; at += 1) await t.put(`k${at % 5}`, String(at));
      const seen = await watch.take(200, base);
      expect(seen).toEqual(Array.from({ length: 200 }, (_, at) => `${at + 1} put k${(at + 1) % 5} ${at + 1}`));
      watch.cancel();
    },
  ],
]);

const IDEMPOTENCY = rules([
  [
    "IDE1",
    "a write under an idempotency key is applied once, and answered alike each time",
    async (t) => {
      const settings = { idempotencyKey: t.key("key") };
      const before = await t.revision();
      const first = await t.txn([], [t.putOf("k", "1")], [], settings);
      const again = await t.txn([], [t.putOf("k", "1")], [], settings);
      expect([first.revision, again.revision]).toEqual([before + 1, before + 1]);
      expect([(await t.get("k"))?.version, await t.revision()]).toEqual([1, before + 1]);
    },
  ],
  [
    "IDE2",
    "it answers alike although the store went on",
    async (t) => {
      const settings = { idempotencyKey: t.key("key") };
      const absent = { ...t.one("k"), target: "version", result: "equal", operand: 0 } as const;
      const take = () => t.txn([absent], [t.putOf("k", "1")], [t.rangeOf(t.one("k"))], settings);
      const first = await take();
      await t.put("k", "2");
      const again = await take();
      expect([again.reply.succeeded, again.revision]).toEqual([true, first.revision]);
      expect(text((await t.get("k"))?.value)).toBe("2");
    },
  ],
  [
    "IDE3",
    "another request under the same key is refused",
    async (t) => {
      const settings = { idempotencyKey: t.key("key") };
      await t.put("k", "1", {}, settings);
      await t.refuses("CONCORD_IDEMPOTENCY_CONFLICT", t.put("k", "2", {}, settings));
      expect(text((await t.get("k"))?.value)).toBe("1");
    },
  ],
  [
    "IDE4",
    "a delete is counted alike each time",
    async (t) => {
      await t.put("k", "1");
      const settings = { idempotencyKey: t.key("key") };
      expect((await t.delete(t.one("k"), false, settings)).reply.deleted).toBe(1);
      expect((await t.delete(t.one("k"), false, settings)).reply.deleted).toBe(1);
    },
  ],
  [
    "IDE5",
    "an answer that is repeated says so",
    async (t) => {
      const settings = { idempotencyKey: t.key("key") };
      expect((await t.put("k", "1", {}, settings)).replayed ?? false).toBe(false);
      expect((await t.put("k", "1", {}, settings)).replayed).toBe(true);
    },
    ["said to be replayed"],
  ],
  [
    "IDE6",
    "what became of a write can be asked for by its key",
    async (t) => {
      const key = t.key("key");
      expect((await t.ask("writeRevision", { type: "writeRevision", key })).reply.writtenAt).toBeUndefined();
      await t.put("k", "1", {}, { idempotencyKey: key });
      const { writtenAt } = (await t.ask("writeRevision", { type: "writeRevision", key })).reply;
      expect(writtenAt).toBe((await t.get("k"))?.modRevision);
    },
    ["history"],
  ],
  [
    "IDE7",
    "a write that was refused leaves its key free",
    async (t) => {
      const settings = { idempotencyKey: t.key("key") };
      await t.refuses("CONCORD_LEASE_NOT_FOUND", t.put("k", "1", { lease: 99n }, settings));
      await t.put("k", "2", {}, settings);
      expect(text((await t.get("k"))?.value)).toBe("2");
    },
  ],
  [
    "IDE8",
    "a key of more than 255 bytes is refused",
    async (t) => {
      await t.refuses(
        "CONCORD_INVALID_ARGUMENT",
        t.put("k", "1", {}, { idempotencyKey: new Uint8Array(256).fill(97) }),
      );
      expect(await t.get("k")).toBeUndefined();
    },
  ],
]);

const READ = rules([
  [
    "REA1",
    "a read sees every write that was acknowledged before it, at each level that is linearizable",
    async (t) => {
      for (const level of ["strong", "leader"] as const) {
        await t.put("k", level);
        expect(text((await t.range(t.one("k"), {}, { level })).reply.rows[0]?.value)).toBe(level);
      }
    },
  ],
  [
    "REA2",
    "an answer says the level it was read at, the term, and how old it may be",
    async (t) => {
      for (const level of ["strong", "leader", "eventual"] as const) {
        const { freshness } = await t.range(t.one("k"), {}, { level });
        // Which of the two linearizable ones it was says where it was read, and not what it is worth.
        expect(freshness?.level === "eventual").toBe(level === "eventual");
        expect(freshness?.term).toBeGreaterThan(0);
      }
    },
    ["what an answer is worth"],
  ],
  [
    "REA3",
    "an eventual read keeps to the least revision that it is asked for",
    async (t) => {
      await t.put("k", "1");
      const minRevision = await t.revision();
      const { reply, revision } = await t.range(t.one("k"), {}, { level: "eventual", minRevision });
      expect(reply.rows).toHaveLength(1);
      expect(revision).toBeGreaterThanOrEqual(minRevision);
    },
    ["minimum revision"],
  ],
  [
    "REA4",
    "a least revision that does not exist yet is refused",
    async (t) => {
      const minRevision = (await t.revision()) + 1000;
      await t.refuses("CONCORD_FUTURE_REVISION", t.range(t.one("k"), {}, { level: "eventual", minRevision }));
    },
    ["minimum revision"],
  ],
]);

/** In the order of the table. */
export const RULES: readonly Rule[] = [
  ...PUT,
  ...DELETE,
  ...RANGE,
  ...HISTORY,
  ...TXN,
  ...COMPARE,
  ...LEASE,
  ...TTL,
  ...WATCH,
  ...IDEMPOTENCY,
  ...READ,
];
