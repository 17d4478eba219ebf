import { beforeEach, describe, expect, it } from "vitest";
import { type CheckpointStore, type LoadedCheckpoint } from "../checkpoint-store.ts";
import { MemoryCheckpoints } from "./checkpoint-store.ts";

const DIRECTORY = "checkpoint-1";

function metaAt(index: number) {
  return { snapshot: { index, term: 1, configuration: { voters: [], learners: [] } }, machine: Uint8Array.of(index) };
}

describe("checkpoints in memory", () => {
  let tasks: (() => void)[];
  let checkpoints: MemoryCheckpoints;
  /** Runs what was scheduled; the last come first, as a scheduler may choose. */
  const drain = (): void => {
    for (let run = tasks.pop(); run !== undefined; run = tasks.pop()) run();
  };
  const open = (): CheckpointStore => {
    let opened: CheckpointStore | undefined;
    checkpoints.factory().open(DIRECTORY, (_, store) => (opened = store));
    drain();
    return opened!;
  };
  const load = (store: CheckpointStore): LoadedCheckpoint => {
    const results: LoadedCheckpoint[] = [];
    store.load(
      () => undefined,
      (result) => results.push(result),
    );
    drain();
    expect(results).toHaveLength(1);
    return results[0]!;
  };
  const write = (store: CheckpointStore, index: number, numbers: readonly number[]): (Error | undefined)[] => {
    const completions: (Error | undefined)[] = [];
    const writer = store.begin();
    const pages = numbers.map((number) => ({ number, bytes: Uint8Array.of(number, index) }));
    writer.put(pages, (error) => completions.push(error));
    drain();
    writer.commit(metaAt(index), (error) => completions.push(error));
    return completions;
  };

  beforeEach(() => {
    tasks = [];
    checkpoints = new MemoryCheckpoints((run) => tasks.push(run));
  });

  it.each([
    [true, 2],
    [false, 1],
  ])("a crash during a commit: kept %s, then index %i", (keepUnfinishedCommits, index) => {
    const store = open();
    write(store, 1, [1]);
    drain();
    const completions = write(store, 2, [1, 2]);
    checkpoints.crash({ keepUnfinishedCommits });
    drain();
    expect(completions).toHaveLength(1);
    expect(load(open())).toEqual({ type: "loaded", meta: metaAt(index) });
    expect(checkpoints.pages(DIRECTORY)).toEqual(index === 2 ? [1, 2] : [1]);
  });

  it("a crash after the completion of a commit never takes it back", () => {
    const completions = write(open(), 1, [1]);
    drain();
    expect(completions).toEqual([undefined, undefined]);
    checkpoints.crash({ keepUnfinishedCommits: false });
    expect(load(open())).toEqual({ type: "loaded", meta: metaAt(1) });
  });

  it("a killed process hears nothing more and cannot write", () => {
    const store = open();
    const old = checkpoints.factory();
    checkpoints.crash({ keepUnfinishedCommits: true });
    const completions: unknown[] = [];
    store.begin().commit(metaAt(1), (error) => completions.push(error));
    old.destroy(DIRECTORY, (error) => completions.push(error));
    drain();
    expect(completions).toEqual([]);
    expect(load(open())).toEqual({ type: "empty" });
  });

  it.each<[string, (name: string) => void, string]>([
    ["a flipped bit", (name) => checkpoints.flipBit(name, 2, 3), "The checksum of page 2 does not hold"],
    ["a lost page", (name) => checkpoints.losePage(name, 2), "2 pages are there, the meta row says 3"],
    ["a lost meta row", (name) => checkpoints.loseMeta(name), "The meta row is missing, 3 pages are there"],
  ])("tells of %s", (_, damage, reason) => {
    const store = open();
    write(store, 1, [1, 2, 3]);
    drain();
    damage(DIRECTORY);
    expect(load(store)).toEqual({ type: "damaged", reason });
  });
});
