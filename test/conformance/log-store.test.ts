import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type LogStore } from "../../node/storage/log-store.ts";
import { MemoryLogStore } from "../../node/storage/memory/log-store.ts";
import { NodeDisk } from "../../node/storage/node-disk.ts";
import { createLog, openLog } from "../../node/storage/wal/wal.ts";
import { IDENTITY, LOG_DIRECTORY, SMALL_LOG } from "../support/log-history.ts";
import { Prng } from "../support/prng.ts";
import { ManualSchedule, SimDisk } from "../support/sim-disk.ts";
import { append, close, describeLogStore, normal } from "./log-store.suite.ts";

const later = (_delayMs: number, action: () => void): void => {
  setImmediate(action);
};

describeLogStore({
  name: "memory",
  setUp: () => ({ create: () => new MemoryLogStore(IDENTITY), tearDown: () => undefined }),
});

describeLogStore({
  name: "write-ahead log on a simulated disk",
  setUp: () => {
    const disk = new SimDisk(new Prng("suite"), later);
    return {
      create: () => createLog(disk.mount(), LOG_DIRECTORY, IDENTITY, SMALL_LOG),
      // What a closed log needs is durable.
      open: () => {
        disk.losePower();
        return openLog(disk.mount(), LOG_DIRECTORY, SMALL_LOG);
      },
      tearDown: () => disk.kill(),
    };
  },
});

describeLogStore({
  name: "write-ahead log on a disk",
  setUp: () => {
    const root = mkdtempSync(join(tmpdir(), "concord-log-"));
    const directory = join(root, "data", "log");
    const disk = new NodeDisk();
    return {
      create: () => createLog(disk, directory, IDENTITY, SMALL_LOG),
      open: () => openLog(disk, directory, SMALL_LOG),
      tearDown: () => rmSync(root, { recursive: true, force: true }),
    };
  },
});

interface Simulated {
  readonly disk: SimDisk;
  readonly schedule: ManualSchedule;
  readonly store: LogStore;
}

function simulated(): Simulated {
  const schedule = new ManualSchedule();
  const disk = new SimDisk(new Prng("faults"), schedule.schedule);
  const store = createLog(disk.mount(), LOG_DIRECTORY, IDENTITY, SMALL_LOG);
  schedule.drain();
  return { disk, schedule, store };
}

/** What the completions of some appends said, in order. */
function appendMany(store: LogStore, count: number, bytes = 600): (Error | undefined)[] {
  const results: (Error | undefined)[] = [];
  for (let at = 1; at <= count; at += 1)
    store.append(
      { hardState: { term: 1, vote: "", commit: 0 }, entries: [normal(at, 1, new Uint8Array(bytes).fill(1))] },
      (error) => results.push(error),
    );
  return results;
}

describe("write-ahead log", () => {
  it("lets everything that arrives during a sync share the next one", () => {
    const { schedule, store } = simulated();
    const before = store.stats();
    const results = appendMany(store, 12, 100);
    schedule.drain();
    expect(results).toHaveLength(12);
    expect(store.stats().groups - before.groups).toBe(2);
    expect(store.stats().syncs - before.syncs).toBe(2);
  });

  it("fails for good when a sync fails, and never tries again", async () => {
    const { disk, schedule, store } = simulated();
    disk.faults.syncFails = 1;
    const results = appendMany(store, 3);
    schedule.drain();
    expect(results).toHaveLength(3);
    for (const error of results) expect(error).toMatchObject({ code: "CONCORD_STORAGE_FAILED" });
    disk.faults.syncFails = 0;
    const { steps } = disk;
    await expect(append(store, {})).rejects.toBe(results[0]);
    await expect(append(store, { identity: IDENTITY })).rejects.toBe(results[0]);
    await expect(close(store)).rejects.toBe(results[0]);
    expect(disk.steps).toBe(steps);
  });

  it("fails for good when a write fails", () => {
    const { disk, schedule, store } = simulated();
    disk.faults.writeFails = 1;
    const results = appendMany(store, 1);
    schedule.drain();
    expect(results).toEqual([expect.objectContaining({ code: "CONCORD_STORAGE_FAILED" })]);
  });

  it("goes on in its segment while the disk is full, and fails when it needs another", () => {
    const { disk, schedule, store } = simulated();
    disk.faults.spaceBytes = 0;
    const results = appendMany(store, 80);
    schedule.drain();
    expect(results).toHaveLength(80);
    const failed = results.findIndex((error) => error !== undefined);
    expect(failed).toBeGreaterThan(10);
    for (const error of results.slice(failed)) expect(error?.message).toContain("ENOSPC");
  });

  it("does not mind a disk that was full for a while", () => {
    const schedule = new ManualSchedule();
    const disk = new SimDisk(new Prng("full"), schedule.schedule);
    const store = createLog(disk.mount(), LOG_DIRECTORY, IDENTITY, SMALL_LOG);
    disk.faults.spaceBytes = 0;
    schedule.drain();
    disk.faults.spaceBytes = Infinity;
    const results = appendMany(store, 80);
    schedule.drain();
    expect(results).toEqual(Array.from({ length: 80 }, () => undefined));
  });

  it("cuts a torn group, and says where", () => {
    const { disk, schedule, store } = simulated();
    const results = appendMany(store, 1);
    schedule.drain();
    store.append({ entries: [normal(2, 1, new Uint8Array(2000).fill(3))] }, (error) => results.push(error));
    schedule.run();
    // The first sector of the group is kept, the others are lost.
    let sectors = 0;
    disk.choose = (alternatives) => (sectors++ === 0 ? alternatives - 1 : 0);
    disk.losePower();
    const opened = openLog(disk.mount(), LOG_DIRECTORY, SMALL_LOG);
    if (opened.type !== "opened") throw new Error(`Not opened: ${JSON.stringify(opened)}`);
    expect(results).toEqual([undefined]);
    expect(opened.recovered.entries.map((entry) => entry.index)).toEqual([1]);
    expect(opened.recovered.tail).toMatchObject({ type: "torn", segment: "0000000000000001.wal" });
  });

  it("is not created where one is, and not found where none is", () => {
    const { disk } = simulated();
    expect(() => createLog(disk.mount(), LOG_DIRECTORY, IDENTITY, SMALL_LOG)).toThrow("it holds one already");
    expect(openLog(disk.mount(), "/elsewhere/log", SMALL_LOG)).toEqual({ type: "empty" });
  });

  it("says that the disk failed when it cannot be opened", () => {
    const { disk } = simulated();
    disk.faults.syncFails = 1;
    expect(() => openLog(disk.mount(), LOG_DIRECTORY, SMALL_LOG)).toThrow("Cannot open the log");
  });
});
