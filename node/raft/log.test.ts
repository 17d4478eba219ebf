import { describe, expect, test } from "vitest";
import { InvariantError } from "./assert.ts";
import { entryBytes, RaftLog } from "./log.ts";
import { type Entry, type Index, type Term } from "./types.ts";

function entry(index: Index, term: Term): Entry {
  return { type: "normal", index, term, data: new Uint8Array(10) };
}

/** A log of these terms behind (`base`, `baseTerm`). */
function logOf(terms: readonly Term[], base = 0, baseTerm = 0): RaftLog {
  const entries = terms.map((term, i) => entry(base + 1 + i, term));
  return new RaftLog({ index: base, term: baseTerm }, entries, base);
}

function termsOf(log: RaftLog): (Term | undefined)[] {
  return Array.from({ length: log.lastIndex - log.firstIndex + 1 }, (_, i) => log.termAt(log.firstIndex + i));
}

describe("append at the follower", () => {
  test.each<{
    why: string;
    log: Term[];
    previous: [Index, Term];
    terms: Term[];
    matched: Index | undefined;
    after: Term[];
  }>([
    { why: "at the end", log: [1, 1], previous: [2, 1], terms: [2], matched: 3, after: [1, 1, 2] },
    { why: "behind a gap", log: [1, 1], previous: [3, 1], terms: [1], matched: undefined, after: [1, 1] },
    { why: "with a wrong previous term", log: [1, 1], previous: [2, 2], terms: [2], matched: undefined, after: [1, 1] },
    { why: "again", log: [1, 1, 1], previous: [1, 1], terms: [1], matched: 2, after: [1, 1, 1] },
    {
      why: "late and shorter: nothing is cut",
      log: [1, 2, 2],
      previous: [0, 0],
      terms: [1],
      matched: 1,
      after: [1, 2, 2],
    },
    { why: "with a conflict", log: [1, 1, 1], previous: [1, 1], terms: [2], matched: 2, after: [1, 2] },
    {
      why: "with a conflict behind a match",
      log: [1, 1, 1],
      previous: [0, 0],
      terms: [1, 3],
      matched: 2,
      after: [1, 3],
    },
    { why: "nothing", log: [1, 1], previous: [1, 1], terms: [], matched: 1, after: [1, 1] },
  ])("$why", ({ log: terms, previous: [index, term], terms: added, matched, after }) => {
    const log = logOf(terms);
    expect(
      log.maybeAppend(
        index,
        term,
        added.map((t, i) => entry(index + 1 + i, t)),
      ),
    ).toBe(matched);
    expect(termsOf(log)).toEqual(after);
    log.checkInvariants();
  });

  test("a committed entry is never cut", () => {
    const log = logOf([1, 1]);
    log.commitTo(2);
    expect(() => log.maybeAppend(1, 1, [entry(2, 2)])).toThrow(InvariantError);
  });
});

test.each<[Term[], Index, Term, Index]>([
  [[1, 1, 1, 4, 4, 5], 6, 5, 6],
  [[1, 1, 1, 4, 4, 5], 6, 4, 5],
  [[1, 1, 1, 4, 4, 5], 6, 3, 3],
  [[1, 1, 1, 4, 4, 5], 2, 3, 2],
  [[2, 2], 2, 1, 0],
  [[], 5, 3, 0],
])("in %j the last index up to %i with a term up to %i is %i", (terms, index, term, wanted) => {
  expect(logOf(terms).lastIndexNotAbove(index, term)).toBe(wanted);
});

test.each<[Index, Term, boolean]>([
  [3, 2, true],
  [4, 2, true],
  [2, 2, false],
  [1, 3, true],
  [9, 1, false],
])("a log that ends with %i of term %i is up to date: %s", (index, term, wanted) => {
  expect(logOf([1, 2, 2]).isUpToDate(index, term)).toBe(wanted);
});

test("slices are bounded by bytes and count, and never empty", () => {
  const log = logOf([1, 1, 1, 1]);
  const size = entryBytes(entry(1, 1));
  expect(log.slice(1, size * 2).map((e) => e.index)).toEqual([1, 2]);
  expect(log.slice(2, 1).map((e) => e.index)).toEqual([2]);
  expect(log.slice(1, Infinity, 3).map((e) => e.index)).toEqual([1, 2, 3]);
  expect(log.slice(2, Infinity, 9, 3).map((e) => e.index)).toEqual([2, 3]);
});

test("compaction keeps what is not applied, and terms at the boundary", () => {
  const log = logOf(Array.from({ length: 5000 }, () => 1));
  log.commitTo(4000);
  log.takeCommitted(Infinity, Infinity);
  log.appliedTo(3000, () => undefined);
  log.compact(4500);
  expect(log.firstIndex).toBe(3001);
  expect(log.termAt(3000)).toBe(1);
  expect(log.termAt(2999)).toBeUndefined();
  expect(log.slice(3001, Infinity, 1)[0]?.index).toBe(3001);
  log.checkInvariants();
});

test("a report about entries that were cut meanwhile does not count", () => {
  const log = logOf([1]);
  log.maybeAppend(1, 1, [entry(2, 2), entry(3, 2)]);
  log.takeUnhanded(1);
  log.maybeAppend(1, 1, [entry(2, 3)]);
  log.takeUnhanded(2);
  log.maybeAppend(1, 1, [entry(2, 4)]);
  log.takeUnhanded(3);
  log.persisted(1);
  expect(log.durable).toBe(1);
  log.persisted(3);
  expect(log.durable).toBe(2);
});

describe("installing a snapshot", () => {
  const configuration = { voters: ["a"], learners: [] };

  test("keeps a log that agrees", () => {
    const log = logOf([1, 1, 2, 2]);
    log.install({ index: 3, term: 2, configuration });
    expect([log.firstIndex, log.lastIndex, log.commit, log.applied]).toEqual([1, 4, 3, 3]);
    log.checkInvariants();
  });

  test("replaces a log that does not", () => {
    const log = logOf([1, 1, 1, 1]);
    log.install({ index: 3, term: 2, configuration });
    expect([log.firstIndex, log.lastIndex, log.commit, log.durable]).toEqual([4, 3, 3, 3]);
    expect(log.termAt(3)).toBe(2);
    log.checkInvariants();
  });
});

test("a second configuration entry proves the first committed, also after a restart", () => {
  const data = new Uint8Array(0);
  const add = (index: Index): Entry => ({
    type: "configuration",
    index,
    term: 1,
    data,
    change: { type: "addLearner", member: `m${index}` },
  });
  const entries = [add(1), entry(2, 1), add(3), entry(4, 1)];
  expect(new RaftLog({ index: 0, term: 0 }, entries, 0).commit).toBe(1);
  const log = logOf([]);
  log.maybeAppend(0, 0, entries);
  expect(log.commit).toBe(1);
});

describe("the recorded commit index", () => {
  const change = { type: "addLearner", member: "m" } as const;
  const added: Entry = { type: "configuration", index: 2, term: 1, data: new Uint8Array(0), change };

  test("is where a restart begins, as far as the log reaches", () => {
    const entries = [entry(1, 1), added, entry(3, 1)];
    expect(new RaftLog({ index: 0, term: 0 }, entries, 0, 2).commit).toBe(2);
    expect(new RaftLog({ index: 0, term: 0 }, entries, 0, 9).commit).toBe(3);
    expect(new RaftLog({ index: 0, term: 0 }, entries, 1, 0).commit).toBe(1);
  });

  test("names only what the log store was given", () => {
    const log = logOf([1]);
    log.push(entry(2, 1));
    log.commitTo(2);
    expect(log.recordableCommit).toBe(1);
    log.takeUnhanded(1);
    expect(log.recordableCommit).toBe(2);
  });

  test("covers a configuration before that is handed out", () => {
    const log = new RaftLog({ index: 0, term: 0 }, [entry(1, 1), added, entry(3, 1)], 0);
    log.commitTo(1);
    expect(log.awaitsRecord(0)).toBe(false);
    log.commitTo(3);
    expect(log.awaitsRecord(0)).toBe(true);
    expect(log.awaitsRecord(3)).toBe(false);
    expect(log.takeCommitted(10, Infinity).map(({ index }) => index)).toEqual([1]);
    log.commitPersisted(3);
    expect(log.takeCommitted(10, Infinity).map(({ index }) => index)).toEqual([2, 3]);
    log.checkInvariants();
  });
});
