import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConcordError } from "../../node/client/errors.ts";
import { InvariantError } from "../../node/raft/assert.ts";
import {
  type CheckpointFactory,
  type CheckpointStore,
  type LoadedCheckpoint,
} from "../../node/storage/checkpoint-store.ts";
import {
  clear,
  close,
  commit,
  destroy,
  load,
  metaAt,
  open,
  page,
  put,
  remove,
  verify,
  write,
} from "./checkpoint-calls.ts";

/** What the suite needs of an implementation. */
export interface CheckpointWorld {
  /** Directories as the present process sees them. */
  factory(): CheckpointFactory;
  /** Ends the process without a word and gives back the world that the next one finds. No commit is under way. */
  kill(): Promise<void>;
  /** Breaks a committed checkpoint whose store is closed. */
  damage(directory: string): Promise<void>;
  dispose(): Promise<void>;
}

const DIRECTORY = "checkpoint-1";
const SEED = 20_260_103;

/** The contract of CheckpointStore, CheckpointWriter and CheckpointFactory. */
export function checkpointStoreSuite(name: string, create: () => Promise<CheckpointWorld>): void {
  describe(`checkpoint store: ${name}`, () => {
    let world: CheckpointWorld;
    let store: CheckpointStore;
    beforeEach(async () => {
      world = await create();
      store = await open(world.factory(), DIRECTORY);
    });
    afterEach(() => world.dispose());

    const reopen = async (): Promise<CheckpointStore> => (store = await open(world.factory(), DIRECTORY));

    it("is empty at first", async () => {
      expect(await load(store)).toEqual({ result: { type: "empty" }, contents: new Map() });
      expect(await verify(store)).toEqual({ type: "empty" });
      expect(store.bytes()).toBe(0);
    });

    it("gives back pages and meta after close and open, and counts bytes", async () => {
      const contents = new Map([
        [0, ""],
        [1, "one"],
        [Number.MAX_SAFE_INTEGER, "last"],
      ]);
      await write(store, 7, contents);
      expect(store.bytes()).toBe(7);
      await close(store);
      await reopen();
      expect(await load(store)).toEqual({ result: { type: "loaded", meta: metaAt(7) }, contents });
      expect(store.bytes()).toBe(7);
    });

    it("takes a write without a load before it, and commits without pages", async () => {
      await commit(store.begin(), metaAt(1));
      await write(store, 2, new Map([[5, "five"]]));
      await commit(store.begin(), metaAt(3));
      expect(await load(store)).toEqual({
        result: { type: "loaded", meta: metaAt(3) },
        contents: new Map([[5, "five"]]),
      });
    });

    it("replaces and removes pages; the last word on a page counts", async () => {
      await write(store, 1, new Map([1, 2, 3, 4].map((number) => [number, `old ${number}`])));
      const writer = store.begin();
      await put(writer, [page(2, "new 2"), page(5, "new 5"), page(6, "new 6")]);
      await remove(writer, [1, 3, 6, 99]);
      await put(writer, [page(3, "new 3")]);
      await commit(writer, metaAt(2));
      const contents = new Map([
        [2, "new 2"],
        [3, "new 3"],
        [4, "old 4"],
        [5, "new 5"],
      ]);
      expect((await load(store)).contents).toEqual(contents);
      await world.kill();
      expect(await load(await reopen())).toEqual({ result: { type: "loaded", meta: metaAt(2) }, contents });
    });

    it("shows nothing of a write before its commit, and nothing of it after a kill", async () => {
      const contents = new Map([
        [1, "one"],
        [2, "two"],
      ]);
      await write(store, 1, contents);
      const writer = store.begin();
      await put(writer, [page(1, "changed"), page(3, "added")]);
      await remove(writer, [2]);
      await world.kill();
      expect(await load(await reopen())).toEqual({ result: { type: "loaded", meta: metaAt(1) }, contents });
      await write(store, 2, new Map([[9, "nine"]]));
      await world.kill();
      expect((await load(await reopen())).contents).toEqual(new Map([...contents, [9, "nine"]]));
    });

    it("is empty after a kill in its first write", async () => {
      await put(store.begin(), [page(1, "one")]);
      await world.kill();
      expect(await load(await reopen())).toEqual({ result: { type: "empty" }, contents: new Map() });
    });

    it("drops an aborted write, and the next one starts from the last commit", async () => {
      await write(store, 1, new Map([[1, "one"]]));
      const aborted = store.begin();
      await put(aborted, [page(1, "changed"), page(2, "two")]);
      aborted.abort();
      aborted.abort();
      await write(store, 2, new Map([[3, "three"]]));
      const contents = new Map([
        [1, "one"],
        [3, "three"],
      ]);
      expect((await load(store)).contents).toEqual(contents);
      expect(await verify(store)).toEqual({ type: "loaded", meta: metaAt(2) });
      await close(store);
      expect((await load(await reopen())).contents).toEqual(contents);
    });

    it("takes an abort while a call is under way", async () => {
      const writer = store.begin();
      const putting = put(writer, [page(1, "one")]);
      writer.abort();
      await putting;
      expect((await load(store)).result).toEqual({ type: "empty" });
    });

    it("verifies what was committed, and a closed store takes no more", async () => {
      await write(store, 4, new Map([[1, "one"]]));
      expect(await verify(store)).toEqual({ type: "loaded", meta: metaAt(4) });
      const writer = store.begin();
      await close(store);
      await close(store);
      await expect(put(writer, [page(1, "late")])).rejects.toThrow("closed");
      expect(() => store.begin()).toThrow(InvariantError);
      expect((await load(await reopen())).contents).toEqual(new Map([[1, "one"]]));
    });

    it("reports damage, refuses writes, and is whole again after clear and a new write", async () => {
      await write(store, 1, new Map(Array.from({ length: 50 }, (_, i) => [i, `page ${i} `.repeat(20)])));
      await verify(store);
      await close(store);
      await world.damage(DIRECTORY);
      await reopen();
      const { result } = await load(store);
      expect(result).toMatchObject({ type: "damaged", reason: expect.stringMatching(/./) });
      expect(await verify(store)).toMatchObject({ type: "damaged" });
      const writer = store.begin();
      const error = await put(writer, [page(1, "one")]).catch((caught: unknown) => caught);
      expect(ConcordError.is(error) && error.code).toBe("CONCORD_STORAGE_DAMAGED");
      await expect(commit(writer, metaAt(2))).rejects.toThrow("clear it");
      writer.abort();
      await clear(store);
      expect((await load(store)).result).toEqual({ type: "empty" });
      await write(store, 2, new Map([[1, "anew"]]));
      await close(store);
      expect((await load(await reopen())).contents).toEqual(new Map([[1, "anew"]]));
    });

    it("holds its caller to one writer, one call at a time, and none after the end", async () => {
      const writer = store.begin();
      expect(() => store.begin()).toThrow(InvariantError);
      expect(() => store.verify(() => undefined)).toThrow(InvariantError);
      const putting = put(writer, [page(1, "one")]);
      expect(() => writer.remove([1], () => undefined)).toThrow(InvariantError);
      await putting;
      await commit(writer, metaAt(1));
      expect(() => writer.put([], () => undefined)).toThrow(InvariantError);
    });

    it("does not keep or give away the memory of others", async () => {
      const mine = page(1, "mine");
      const writer = store.begin();
      await put(writer, [mine]);
      mine.bytes.fill(0);
      await commit(writer, metaAt(1));
      await new Promise<LoadedCheckpoint>((resolve) =>
        store.load((pages) => {
          for (const { bytes } of pages) {
            expect(bytes.constructor).toBe(Uint8Array);
            bytes.fill(0);
          }
        }, resolve),
      );
      expect((await load(store)).contents).toEqual(new Map([[1, "mine"]]));
    });

    it("opens a directory once, lists by number, destroys what is closed", async () => {
      const factory = world.factory();
      const error = await open(factory, DIRECTORY).catch((caught: unknown) => caught);
      expect(ConcordError.is(error) && error.code).toBe("CONCORD_DATA_DIR_LOCKED");
      const tenth = await open(factory, "checkpoint-10");
      await write(tenth, 1, new Map([[1, "one"]]));
      const second = await open(factory, "checkpoint-2");
      expect(factory.list()).toEqual(["checkpoint-1", "checkpoint-2", "checkpoint-10"]);
      await expect(destroy(factory, "checkpoint-10")).rejects.toThrow("is open");
      await close(tenth);
      await close(second);
      await destroy(factory, "checkpoint-10");
      await destroy(factory, "checkpoint-77");
      expect(factory.list()).toEqual(["checkpoint-1", "checkpoint-2"]);
      expect((await load(await open(factory, "checkpoint-10"))).result).toEqual({ type: "empty" });
    });

    it("agrees with a map over any sequence of writes, aborts, kills and restarts", async () => {
      const change = fc.oneof(
        { weight: 3, arbitrary: fc.record({ put: fc.nat(12), size: fc.nat(400) }) },
        { weight: 1, arbitrary: fc.record({ remove: fc.nat(12) }) },
      );
      const step = fc.record({
        changes: fc.array(change, { maxLength: 8 }),
        end: fc.constantFrom("commit", "commit", "commit", "abort", "kill"),
        after: fc.constantFrom("none", "none", "verify", "close", "kill"),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
          await close(store);
          await destroy(world.factory(), DIRECTORY);
          await reopen();
          let contents = new Map<number, string>();
          let index = 0;
          const check = async (): Promise<void> => {
            const result = index === 0 ? { type: "empty" } : { type: "loaded", meta: metaAt(index) };
            expect(await load(store)).toEqual({ result, contents });
          };
          for (const [i, { changes, end, after }] of steps.entries()) {
            const next = new Map(contents);
            const writer = store.begin();
            for (const each of changes) {
              if ("put" in each) {
                const text = `${i}:`.padEnd(each.size, "x");
                await put(writer, [page(each.put, text)]);
                next.set(each.put, text);
              } else {
                await remove(writer, [each.remove]);
                next.delete(each.remove);
              }
            }
            if (end === "commit") {
              await commit(writer, metaAt(i + 1));
              [contents, index] = [next, i + 1];
            } else if (end === "abort") writer.abort();
            if (after === "verify" && end !== "kill") expect((await verify(store)).type).not.toBe("damaged");
            if (end === "kill" || after === "kill") {
              await world.kill();
              await reopen();
            } else if (after === "close") {
              await close(store);
              await reopen();
            }
            await check();
          }
        }),
        { seed: SEED, numRuns: 25 },
      );
    });
  });
}
