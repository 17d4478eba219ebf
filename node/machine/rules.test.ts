import { describe, expect, it } from "vitest";
import { bytes, Fixture, OPTIONS, put, range, remove, txn } from "../../test/model/machine-fixture.ts";
import { type Command, type Compare, type Operation, type RangeOperation, type RefusedReason } from "./commands.ts";
import { checkCommand, checkLimits, LIMIT_CEILINGS } from "./limits.ts";

/** c (mod 2, version 1), b (mod 5, version 2, create 3), a (mod 4), d (mod 6); values in another order. */
function filled(): Fixture {
  const at = new Fixture();
  for (const [key, value] of [
    ["c", "w"],
    ["b", "z"],
    ["a", "x"],
    ["b", "y"],
    ["d", "v"],
  ] as const)
    at.apply(put(key, value));
  return at;
}

describe("ranges", () => {
  const at = filled();

  it.each<[string, RangeOperation, string]>([
    ["one key", range("b"), "b"],
    ["a key that is not there", range("bb"), ""],
    ["an interval without its end", range("a", "c"), "ab"],
    ["from a key on", range("b", "\0"), "bcd"],
    ["everything", range("\0", "\0"), "abcd"],
    ["an interval that ends before it begins", range("c", "a"), ""],
    ["limited", range("a", "z", { limit: 2 }), "ab"],
    ["descending", range("a", "z", { sortOrder: "descend" }), "dcba"],
    ["descending and limited", range("a", "z", { sortOrder: "descend", limit: 2 }), "dc"],
    ["by mod revision", range("a", "z", { sortTarget: "mod", sortOrder: "ascend" }), "cabd"],
    ["by mod revision without an order: ascending", range("a", "z", { sortTarget: "mod" }), "cabd"],
    [
      "by mod revision, newest first, limited",
      range("a", "z", { sortTarget: "mod", sortOrder: "descend", limit: 1 }),
      "d",
    ],
    ["by create revision", range("a", "z", { sortTarget: "create", sortOrder: "ascend" }), "cbad"],
    ["by version, equals in key order", range("a", "z", { sortTarget: "version", sortOrder: "ascend" }), "acdb"],
    [
      "by version descending, equals in key order",
      range("a", "z", { sortTarget: "version", sortOrder: "descend" }),
      "bacd",
    ],
    ["by value", range("a", "z", { sortTarget: "value", sortOrder: "ascend" }), "dcab"],
    ["filtered by mod revision", range("a", "z", { minModRevision: 4, maxModRevision: 5 }), "ab"],
    ["filtered by create revision", range("a", "z", { minCreateRevision: 3, maxCreateRevision: 4 }), "ab"],
    ["filtered before the limit", range("a", "z", { minModRevision: 5, limit: 1 }), "b"],
    ["in the past", range("a", "z", { revision: 3 }), "bc"],
    ["a single key that a filter hides", range("b", "", { maxModRevision: 4 }), ""],
  ])("%s", (_name, operation, keys) => {
    for (const units of [1, 2, 1e9])
      expect((at.read(operation, units) as { rows: { key: string }[] }).rows.map(({ key }) => key).join("")).toBe(keys);
  });

  it.each<[string, RangeOperation, number, boolean]>([
    ["ignores the limit and says that there are more", range("a", "z", { limit: 2 }), 4, true],
    ["has no more when the limit fits exactly", range("a", "z", { limit: 4 }), 4, false],
    ["ignores filters", range("a", "z", { minModRevision: 6 }), 4, false],
    ["and more, which is about what passed", range("a", "z", { minModRevision: 5, limit: 1 }), 4, true],
    ["alone", range("a", "c", { countOnly: true }), 2, false],
    ["alone, with a limit", range("a", "z", { countOnly: true, limit: 1 }), 4, false],
    ["alone, in the past", range("a", "z", { countOnly: true, revision: 3 }), 2, false],
    ["in the past, with a limit", range("a", "z", { revision: 4, limit: 1 }), 3, true],
    ["of one key", range("a", "", { countOnly: true }), 1, false],
    ["of one key that a filter hides", range("a", "", { minModRevision: 9 }), 1, false],
  ])("count %s", (_name, operation, count, more) => {
    expect(at.read(operation)).toMatchObject({ count, more });
  });

  it("leaves values out when only keys are asked for", () => {
    expect(at.read(range("b", "", { keysOnly: true }))).toMatchObject({ rows: [{ key: "b", value: "", version: 2 }] });
  });
});

describe("compares", () => {
  const at = filled();
  const compare = (target: string, result: string, operand: unknown, key = "b", rangeEnd = ""): Compare =>
    ({ key: bytes(key), rangeEnd: bytes(rangeEnd), target, result, operand }) as Compare;

  it.each<[string, Compare, boolean]>([
    ["version equal", compare("version", "equal", 2), true],
    ["version greater", compare("version", "greater", 2), false],
    ["create less", compare("create", "less", 4), true],
    ["mod not equal", compare("mod", "notEqual", 5), false],
    ["value equal", compare("value", "equal", bytes("y")), true],
    ["value greater", compare("value", "greater", bytes("x")), true],
    ["value less, a prefix first", compare("value", "less", bytes("yy")), true],
    ["lease of a key without one", compare("lease", "equal", 0n), true],
    ["lease against another", compare("lease", "less", 5n), true],
    ["version 0 of a key that is not there", compare("version", "equal", 0, "nope"), true],
    ["create of a key that is not there", compare("create", "greater", 0, "nope"), false],
    ["lease of a key that is not there", compare("lease", "equal", 0n, "nope"), true],
    ["value of a key that is not there", compare("value", "notEqual", bytes("q"), "nope"), false],
    ["all keys of a range", compare("mod", "greater", 1, "a", "z"), true],
    ["not all keys of a range", compare("mod", "greater", 2, "a", "z"), false],
    ["a range without keys, a number", compare("mod", "equal", 0, "x", "z"), true],
    ["a range without keys, a value", compare("value", "notEqual", bytes("q"), "x", "z"), false],
    ["everything", compare("version", "less", 3, "\0", "\0"), true],
  ])("%s", (_name, condition, succeeded) => {
    expect(at.read(txn([condition], [range("a")], [range("b")]), 1)).toMatchObject({ succeeded });
  });
});

describe("txns", () => {
  it("evaluate nested compares before any operation", () => {
    const at = new Fixture();
    const absent: Compare = { key: bytes("a"), rangeEnd: bytes(""), target: "version", result: "equal", operand: 0 };
    const reply = at.say(txn([], [put("a", "1"), txn([absent], [put("b", "1")], [put("c", "1")]), range("a", "z")]));
    expect(reply).toMatchObject({
      replies: [{}, { succeeded: true }, { rows: [{ key: "a" }, { key: "b" }], count: 2 }],
    });
  });

  it("read what they wrote, and older revisions as they were", () => {
    const at = filled();
    expect(
      at.say(txn([], [put("a", "new"), remove("b"), range("a", "z"), range("a", "z", { revision: 6 }), range("a")])),
    ).toMatchObject({
      replies: [
        {},
        { deleted: 1 },
        { rows: [{ key: "a", value: "new", modRevision: 7 }, { key: "c" }, { key: "d" }], count: 3 },
        { rows: [{ key: "a", value: "x" }, { key: "b" }, { key: "c" }, { key: "d" }], count: 4 },
        { rows: [{ value: "new" }] },
      ],
    });
  });

  it.each<[string, Operation, RefusedReason]>([
    ["a lease that is not there", put("z", "1", { lease: 5n }), "leaseNotFound"],
    ["a value to keep that is not there", put("z", "", { ignoreValue: true }), "keyNotFound"],
    ["a lease to keep that is not there", put("z", "1", { ignoreLease: true }), "keyNotFound"],
    ["a revision in the future", range("a", "", { revision: 99 }), "futureRevision"],
    ["a compacted revision", range("a", "", { revision: 2 }), "compacted"],
  ])("fail as a whole for %s, however deep, and only on the way taken", (_name, operation, reason) => {
    const at = filled();
    at.apply({ type: "compact", revision: 3 });
    const { revision } = at.machine;
    expect(at.say(operation as Command)).toBe(reason);
    expect(at.say(txn([], [put("a", "changed"), txn([], [txn([], [operation])])]))).toBe(reason);
    expect(at.machine.revision).toBe(revision);
    expect(at.say(range("a"))).toMatchObject({ rows: [{ value: "x" }] });
    expect(at.say(txn([], [put("a", "changed")], [operation]))).toMatchObject({ succeeded: true });
    at.machine.checkInvariants();
  });

  it("keep value or lease when told so", () => {
    const at = filled();
    expect(at.say(put("a", "", { ignoreValue: true, previous: true }))).toMatchObject({ previous: { value: "x" } });
    expect(at.say(put("a", "2", { ignoreLease: true }))).toMatchObject({ type: "put" });
    expect(at.say(range("a"))).toMatchObject({ rows: [{ value: "2", version: 3, lease: 0n }] });
  });
});

describe("shape and limits", () => {
  const limits = { keyBytesMax: 4, valueBytesMax: 8, operationsMax: 3, nestingMax: 2 };
  const compares = (count: number): Compare[] =>
    Array.from({ length: count }, () => ({
      key: bytes("a"),
      rangeEnd: bytes(""),
      target: "mod",
      result: "equal",
      operand: 1,
    }));

  it.each<[string, Command, RefusedReason | undefined]>([
    ["a put without a key", put("", "1"), "keyEmpty"],
    ["a range without a key", range("", "\0"), "keyEmpty"],
    ["a delete without a key", remove(""), "keyEmpty"],
    ["a compare without a key", txn([{ ...compares(1)[0]!, key: bytes("") }], []), "keyEmpty"],
    ["a key of the largest length", put("abcd", "1"), undefined],
    ["a key beyond it", put("abcde", "1"), "keyTooLong"],
    ["a bound right behind the largest key", range("abcd\0", "\0"), undefined],
    ["a bound beyond that", remove("abcd\0\0", "\0"), "keyTooLong"],
    ["a value beyond its length", put("a", "123456789"), "valueTooLong"],
    ["a value together with ignoreValue", put("a", "1", { ignoreValue: true }), "valueProvided"],
    ["a lease together with ignoreLease", put("a", "1", { ignoreLease: true, lease: 1n }), "leaseProvided"],
    ["as many operations as allowed", txn([], [range("a"), range("a"), range("a")]), undefined],
    ["one more", txn([], [], [range("a"), range("a"), range("a"), range("a")]), "tooManyOperations"],
    ["too many compares", txn(compares(4), []), "tooManyOperations"],
    ["nested operations that fit below the outer ones", txn([], [txn([], [range("a"), range("a")])]), undefined],
    ["nested ones that do not", txn([], [txn([], [range("a"), range("a"), range("a")])]), "tooManyOperations"],
    ["txns nested too deep", txn([], [txn([], [txn([], [])])]), "nestedTooDeep"],
    ["a nested put without a key", txn([], [], [txn([], [], [put("", "1")])]), "keyEmpty"],
    [
      "a compare with a number that no entry can hold",
      txn([{ ...compares(1)[0]!, target: "mod", operand: 2 ** 53 }], []),
      "numberInvalid",
    ],
    ["a nested limit that is no whole number", txn([], [txn([], [range("a", "", { limit: 0.5 })])]), "numberInvalid"],
    ["a revision that is no number", { type: "compact", revision: Number.NaN }, "numberInvalid"],
    ["a key put twice", txn([], [put("a", "1"), put("a", "2")]), "duplicateKey"],
  ])("%s", (_name, command, reason) => {
    expect(checkCommand(command, limits)).toBe(reason);
  });

  it("are checked before a command is proposed, by this member's limits, and at apply by the ceilings of all", () => {
    const at = new Fixture({ ...OPTIONS, limits });
    expect(at.machine.check(put("abcde", "1"))).toMatchObject({ ok: false, reason: "keyTooLong", revision: 1 });
    expect(at.machine.check(put("abcd", "1"))).toBeUndefined();
    expect(at.say(put("abcde", "1"))).toMatchObject({ type: "put" });
    const many = Array.from({ length: LIMIT_CEILINGS.operationsMax + 1 }, () => range("a"));
    expect(at.say(txn([], many))).toBe("tooManyOperations");
    let deep = txn([], []);
    for (let depth = 0; depth < LIMIT_CEILINGS.nestingMax; depth += 1) deep = txn([], [deep]);
    expect(at.say(deep)).toBe("nestedTooDeep");
    expect(at.read(range("abcdef", "\0"))).toBe("keyTooLong");
    expect(at.machine.get(bytes(""))).toMatchObject({ ok: false, reason: "keyEmpty" });
  });

  it("have to be positive and below their ceilings", () => {
    expect(() => checkLimits({ ...limits, nestingMax: 17 })).toThrow("Limit nestingMax is 17, wanted 1 to 16");
    expect(() => checkLimits({ ...limits, keyBytesMax: 0 })).toThrow("Limit keyBytesMax is 0");
  });
});
