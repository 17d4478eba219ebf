import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConcordError } from "../../node/client/errors.ts";
import { LevelCheckpoints } from "../../node/storage/level/checkpoint-store.ts";
import { Database } from "../../node/storage/level/database.ts";
import { JobQueue } from "../../node/storage/level/job-queue.ts";
import { close, commit, load, metaAt, open, page, put, remove, verify, write } from "./checkpoint-calls.ts";

const DIRECTORY = "checkpoint-1";

describe("checkpoints in LevelDB", () => {
  let root: string;
  beforeEach(() => (root = mkdtempSync(join(tmpdir(), "concord-level-"))));
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const openStore = () => open(new LevelCheckpoints(root), DIRECTORY);

  /** Keys of all rows, of a store that is closed. */
  async function rows(): Promise<string[]> {
    const database = new Database(join(root, DIRECTORY, "db"), new JobQueue());
    await database.open();
    const keys: string[] = [];
    await database.scan((slice) => keys.push(...slice.map(([key]) => Buffer.from(key).toString("hex"))));
    await database.close();
    return keys;
  }

  const key = (number: number, generation: number): string =>
    `70${number.toString(16).padStart(16, "0")}${generation.toString(16).padStart(16, "0")}`;

  it("leaves one row for each page, however many were replaced, removed and given up", async () => {
    const store = await openStore();
    const all = Array.from({ length: 2500 }, (_, number) => number);
    const pages = (text: string) => all.map((number) => page(number, text));
    await write(store, 1, new Map(all.map((number) => [number, "first"])));
    const aborted = store.begin();
    await put(aborted, pages("aborted"));
    aborted.abort();
    const writer = store.begin();
    await put(writer, pages("second"));
    await remove(writer, all.slice(3));
    await commit(writer, metaAt(2));
    expect(await verify(store)).toEqual({ type: "loaded", meta: metaAt(2) });
    await close(store);
    expect(await rows()).toEqual(["6d", key(0, 2), key(1, 2), key(2, 2)]);
  });

  it("removes what a crash left, with the next write", async () => {
    const crashed = await openStore();
    await write(crashed, 1, new Map([[1, "one"]]));
    await put(crashed.begin(), [page(1, "changed"), page(2, "two")]);
    await close(crashed);
    expect(await rows()).toEqual(["6d", key(1, 1), key(1, 2), key(2, 2)]);
    const store = await openStore();
    await write(store, 2, new Map([[3, "three"]]));
    await close(store);
    expect(await rows()).toEqual(["6d", key(1, 1), key(3, 2)]);
  });

  it("finds out what is true after a commit that failed half-way", async () => {
    const store = await openStore();
    await write(store, 1, new Map([[1, "one"]]));
    const witness = join(root, DIRECTORY, "witness");
    rmSync(witness);
    mkdirSync(witness);
    const writer = store.begin();
    await put(writer, [page(2, "two")]);
    const error = await commit(writer, metaAt(2)).catch((caught: unknown) => caught);
    expect(ConcordError.is(error) && error.code).toBe("CONCORD_STORAGE_FAILED");
    await expect(put(writer, [page(3, "three")])).rejects.toBe(error);
    writer.abort();
    rmdirSync(witness);
    await write(store, 3, new Map([[4, "four"]]));
    // The second commit had reached the files: it is whole, and the third stands on it.
    const contents = new Map([
      [1, "one"],
      [2, "two"],
      [4, "four"],
    ]);
    expect(await load(store)).toEqual({ result: { type: "loaded", meta: metaAt(3) }, contents });
    await close(store);
    expect(await rows()).toEqual(["6d", key(1, 1), key(2, 2), key(4, 3)]);
  });

  it("refuses the checkpoint of another group", async () => {
    const store = await openStore();
    await write(store, 1, new Map([[1, "one"]]));
    await close(store);
    const other = await open(new LevelCheckpoints(root, { groupId: 5 }), DIRECTORY);
    expect(await load(other)).toMatchObject({
      result: { type: "damaged", reason: expect.stringContaining("belongs to group 0, wanted 5") },
    });
    await close(other);
  });

  it("says who holds the files", async () => {
    const store = await openStore();
    const error = await openStore().catch((caught: unknown) => caught);
    expect(ConcordError.is(error) && error.code).toBe("CONCORD_DATA_DIR_LOCKED");
    await close(store);
    await close(await openStore());
  });

  it("refuses names that are no checkpoint directory", () => {
    expect(() => new LevelCheckpoints(root).open("../elsewhere", () => undefined)).toThrow("checkpoint-<n>");
  });
});
