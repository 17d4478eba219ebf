import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InvariantError } from "../../node/raft/assert.ts";
import { type Entry } from "../../node/raft/types.ts";
import { NO_CHECKPOINT } from "../../node/storage/log-state.ts";
import { type CheckpointPointer, type LogGroup, type LogStore, type OpenedLog } from "../../node/storage/log-store.ts";
import { fingerprint, IDENTITY, LogModel } from "../support/log-history.ts";

/** One implementation under test. */
export interface LogStoreCase {
  readonly name: string;
  /** Begins with an empty place and gives what a test needs there. */
  setUp(): LogStorePlace;
}

export interface LogStorePlace {
  create(): LogStore;
  /** Opens what the closed store has left. Undefined for a store that keeps nothing. */
  readonly open?: () => OpenedLog;
  tearDown(): void;
}

export function append(store: LogStore, group: LogGroup): Promise<void> {
  return completion((done) => store.append(group, done));
}

function completion(start: (done: (error: Error | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

export function close(store: LogStore): Promise<void> {
  return completion((done) => store.close(done));
}

export function normal(index: number, term: number, data: Uint8Array = new Uint8Array([index, term])): Entry {
  return { type: "normal", index, term, data };
}

export function pointer(index: number, term: number): CheckpointPointer {
  const configuration = { voters: [IDENTITY.memberId], learners: [] };
  return { meta: { index, term, configuration }, directory: `checkpoint-${index}` };
}

const TERM_ONE = { hardState: { term: 1, vote: IDENTITY.memberId, commit: 0 } };

export function describeLogStore(implementation: LogStoreCase): void {
  describe(`log store: ${implementation.name}`, () => {
    let place: LogStorePlace;
    let store: LogStore;

    beforeEach(() => {
      place = implementation.setUp();
      store = place.create();
    });
    afterEach(() => place.tearDown());

    it("completes in order, and never inside the call", async () => {
      const completed: number[] = [];
      let inside = false;
      const wait = Array.from({ length: 20 }, (_, at) =>
        completion((done) => {
          inside = true;
          store.append({ ...TERM_ONE, entries: [normal(at + 1, 1)] }, (error) => {
            expect(inside).toBe(false);
            completed.push(at);
            done(error);
          });
          inside = false;
        }),
      );
      await Promise.all(wait);
      expect(completed).toEqual(Array.from({ length: 20 }, (_, at) => at));
      expect(store.stats().groups).toBeGreaterThan(0);
      await close(store);
    });

    it("refuses groups that cannot follow, and goes on as if they had not been given", async () => {
      await append(store, { ...TERM_ONE, entries: [normal(1, 1), normal(2, 1)] });
      await append(store, { checkpoint: pointer(1, 1) });
      await append(store, { hardState: { term: 2, vote: "", commit: 2 }, entries: [normal(3, 1)] });
      const wrong: [string, LogGroup][] = [
        ["a gap", { entries: [normal(5, 1)] }],
        ["a gap inside", { entries: [normal(4, 1), normal(6, 1)] }],
        ["a term of the future", { entries: [normal(4, 3)] }],
        ["a term that goes back", { hardState: { term: 1, vote: "", commit: 2 } }],
        ["a commit index that goes back", { hardState: { term: 2, vote: "", commit: 1 } }],
        ["a commit index beyond the log", { hardState: { term: 2, vote: "", commit: 4 } }],
        ["a commit of what comes with it", { hardState: { term: 2, vote: "", commit: 4 }, entries: [normal(4, 2)] }],
        ["terms out of order", { hardState: { term: 4, vote: "", commit: 2 }, entries: [normal(4, 4), normal(5, 3)] }],
        ["an overwritten commit", { entries: [normal(2, 2)] }],
        ["an overwritten checkpoint", { entries: [normal(1, 1)] }],
        ["a checkpoint beyond the log", { checkpoint: pointer(9, 1) }],
        ["a checkpoint that goes back", { checkpoint: pointer(0, 0) }],
        ["a reset to nothing", { resetLog: true }],
      ];
      for (const [what, group] of wrong)
        expect(() => store.append(group, () => expect.unreachable(what)), what).toThrow(InvariantError);
      await append(store, { hardState: { term: 3, vote: IDENTITY.memberId, commit: 3 } });
      const secondVote = { hardState: { term: 3, vote: "00000000000000ff", commit: 3 } };
      expect(() => store.append(secondVote, () => undefined)).toThrow(InvariantError);
      await append(store, { entries: [normal(4, 1)] });
      await close(store);
    });

    it("takes entries that overwrite the end, and those behind a reset", async () => {
      await append(store, { ...TERM_ONE, entries: [normal(1, 1), normal(2, 1), normal(3, 1)] });
      await append(store, { hardState: { term: 2, vote: "", commit: 0 }, entries: [normal(2, 2)] });
      expect(() => store.append({ entries: [normal(4, 2)] }, () => undefined)).toThrow(InvariantError);
      await append(store, { checkpoint: pointer(10, 2), resetLog: true });
      await append(store, { entries: [normal(11, 2)] });
      await close(store);
    });

    it("learns its cluster id once", async () => {
      const adopted = { ...IDENTITY, clusterId: "00000000000000c1" };
      await append(store, { identity: adopted });
      await append(store, { identity: adopted, hardState: { term: 1, vote: "", commit: 0 } });
      const changes = [{ clusterId: "00000000000000c2" }, { memberId: "00000000000000ff" }, { groupId: 1 }];
      for (const change of changes)
        expect(() => store.append({ identity: { ...adopted, ...change } }, () => undefined)).toThrow(InvariantError);
      await close(store);
    });

    it("completes what was appended before it closes, and takes nothing afterwards", async () => {
      const order: string[] = [];
      const appended = append(store, TERM_ONE).then(() => order.push("appended"));
      const closed = close(store).then(() => order.push("closed"));
      expect(() => store.append(TERM_ONE, () => undefined)).toThrow(InvariantError);
      await Promise.all([appended, closed]);
      expect(order).toEqual(["appended", "closed"]);
    });

    it("gives back what it was given", async ({ skip }) => {
      const { open } = place;
      if (open === undefined) skip("keeps nothing");
      const model = new LogModel();
      const give = async (group: LogGroup): Promise<void> => {
        model.apply({ type: "append", group });
        await append(store, group);
      };
      await give({ identity: { ...IDENTITY, clusterId: "00000000000000c1" } });
      await give({ ...TERM_ONE, entries: [normal(1, 1), normal(2, 1, new Uint8Array(0))] });
      // Zeros, to the byte, to the sector, beyond it; and more than fits one group.
      for (const [at, length] of [447, 448, 512, 960, 1472, 5000].entries())
        await give({ entries: [normal(3 + at, 1, new Uint8Array(length))] });
      const change = { type: "promote", member: "00000000000000a2" } as const;
      await give({ entries: [{ type: "configuration", index: 9, term: 1, data: new Uint8Array([7]), change }] });
      await give({ entries: Array.from({ length: 40 }, (_, at) => normal(10 + at, 1, new Uint8Array(300).fill(at))) });
      await give({ checkpoint: pointer(4, 1) });
      await give({ hardState: { term: 5, vote: "", commit: 0 }, entries: [normal(30, 5)] });
      await close(store);
      for (let again = 0; again < 3; again += 1) {
        const opened = open!();
        if (opened.type !== "opened") throw new Error(`Not opened: ${JSON.stringify(opened)}`);
        expect(fingerprint(opened.recovered)).toBe(model.fingerprint());
        expect(opened.recovered.tail).toEqual({ type: "clean" });
        store = opened.store;
        await give({ entries: [normal(31 + again, 5)] });
        await close(store);
      }
    });

    it("begins behind the checkpoint of a reset", async ({ skip }) => {
      const { open } = place;
      if (open === undefined) skip("keeps nothing");
      await append(store, { ...TERM_ONE, entries: [normal(1, 1), normal(2, 1)] });
      await append(store, { checkpoint: pointer(100, 1), resetLog: true, entries: [normal(101, 1)] });
      await close(store);
      const opened = open!();
      if (opened.type !== "opened") throw new Error(`Not opened: ${JSON.stringify(opened)}`);
      expect(opened.recovered.checkpoint).toEqual(pointer(100, 1));
      expect(opened.recovered.entries).toEqual([normal(101, 1)]);
      await close(opened.store);
    });

    it("is empty before its first group: identity, no term, no checkpoint", async ({ skip }) => {
      const { open } = place;
      if (open === undefined) skip("keeps nothing");
      await close(store);
      const opened = open!();
      if (opened.type !== "opened") throw new Error(`Not opened: ${JSON.stringify(opened)}`);
      expect(opened.recovered).toMatchObject({
        identity: IDENTITY,
        hardState: { term: 0, vote: "", commit: 0 },
        entries: [],
      });
      expect(opened.recovered.checkpoint).toEqual(NO_CHECKPOINT);
      await close(opened.store);
    });

    it("gives space back once entries are in a checkpoint and released", async ({ skip }) => {
      const { open } = place;
      if (open === undefined) skip("keeps nothing");
      const grow = async (from: number): Promise<void> => {
        for (let at = from; at < from + 60; at += 1)
          await append(store, { entries: [normal(at, 1, new Uint8Array(900).fill(1))] });
      };
      await append(store, TERM_ONE);
      await grow(1);
      const grown = store.stats().segments;
      store.release(60);
      expect(store.stats().segments).toBe(grown);
      await append(store, { checkpoint: pointer(60, 1) });
      for (let round = 1; round <= 4; round += 1) {
        await grow(60 * round + 1);
        await append(store, { checkpoint: pointer(60 * (round + 1), 1) });
        store.release(60 * (round + 1));
      }
      expect(store.stats().segments).toBeLessThanOrEqual(grown);
      await close(store);
      const opened = open!();
      if (opened.type !== "opened") throw new Error(`Not opened: ${JSON.stringify(opened)}`);
      expect(opened.recovered.checkpoint).toEqual(pointer(300, 1));
      await close(opened.store);
    });
  });
}
