import { describe, expect, it } from "vitest";
import { crc32 } from "../../node/codec/crc.ts";
import { ConcordError } from "../../node/client/errors.ts";
import { GROUPS_OFFSET, segmentName } from "../../node/storage/wal/format.ts";
import { type WalOptions } from "../../node/storage/wal/options.ts";
import { recoverLog, type RecoverResult } from "../../node/storage/wal/recover.ts";
import { openLog } from "../../node/storage/wal/wal.ts";
import { drawOperation, IDENTITY, LOG_DIRECTORY, LogHistory, SMALL_LOG } from "../support/log-history.ts";
import { Prng } from "../support/prng.ts";
import { ManualSchedule, SimDisk } from "../support/sim-disk.ts";

/**
 * Faults of the device and of people: flipped bits, zeroed ranges, files cut, swapped, removed, brought back old or taken
 * from another member. Opening a log then finds everything that was acknowledged, or says that it is damaged. It never
 * gives back less and calls it whole.
 */

const SECTOR = 512;
const OPTIONS: WalOptions = { ...SMALL_LOG, watermarkGroups: 1 };

interface Image {
  readonly disk: SimDisk;
  readonly history: LogHistory;
  /** Files as they were after each operation. */
  readonly past: ReadonlyMap<string, Uint8Array>[];
  /** The place in the history that an undamaged opening finds at the least. */
  readonly least: number;
}

/** A log of some segments, one group for each operation. `closed`: its end is marked, else the process was killed. */
function image(seed: string, closed: boolean, operations = 30): Image {
  const schedule = new ManualSchedule();
  const prng = new Prng(seed);
  const disk = new SimDisk(prng.fork("disk"), schedule.schedule);
  const history = new LogHistory();
  const past: Map<string, Uint8Array>[] = [];
  history.create(disk.mount(), OPTIONS);
  for (let issued = 0; issued < operations; issued += 1) {
    history.issue(history.store!, drawOperation(prng, history.model));
    schedule.drain();
    past.push(new Map(disk.paths().map((path) => [path, disk.read(path)])));
  }
  if (closed) history.store!.close(() => undefined);
  schedule.drain();
  disk.kill();
  disk.faults.delayMs = [0, 0];
  expect(history.acknowledged).toBe(history.states.length - 1);
  return { disk, history, past, least: closed ? history.acknowledged : history.acknowledged - 1 };
}

/** Entries over several segments, and nothing else. */
function withoutCheckpoint(fill = 1): Image {
  const schedule = new ManualSchedule();
  const disk = new SimDisk(new Prng("entries"), schedule.schedule);
  const history = new LogHistory();
  history.create(disk.mount(), OPTIONS);
  for (let index = 1; index <= 20; index += 1) {
    const entry = { type: "normal", index, term: 1, data: new Uint8Array(900).fill(fill) } as const;
    const group = { hardState: { term: 1, vote: "", commit: 0 }, entries: [entry] };
    history.issue(history.store!, { type: "append", group });
    schedule.drain();
  }
  disk.kill();
  return { disk, history, past: [], least: history.acknowledged - 1 };
}

function recover(from: Image): RecoverResult {
  return recoverLog(from.disk.mount(), LOG_DIRECTORY, 0);
}

/** @returns whether the damage was found. Fails when less than `least` is found and called whole. */
function isFound(from: Image, what: () => string): boolean {
  const result = recover(from);
  if (result.type === "damaged") {
    expect(result.damage.reason, what()).not.toBe("");
    expect(result.damage.segment, what()).toMatch(/^\d{16}\.wal$/);
    return true;
  }
  if (result.type === "empty") throw new Error(`Empty: ${what()}`);
  const place = from.history.place(result.log);
  if (place < from.least) throw new Error(`Found ${place}, wanted at least ${from.least}: ${what()}`);
  return false;
}

/** Damages one file, looks, and puts it back. */
function withDamage(from: Image, path: string, what: string, change: (bytes: Uint8Array) => Uint8Array): boolean {
  const before = from.disk.read(path);
  from.disk.corrupt(path, change);
  try {
    return isFound(from, () => `${what} in ${path}`);
  } finally {
    from.disk.corrupt(path, () => before);
  }
}

function flip(from: Image, path: string, offset: number, bit: number): boolean {
  const change = (bytes: Uint8Array): Uint8Array => bytes.with(offset, bytes[offset]! ^ (1 << bit));
  return withDamage(from, path, `flip of bit ${bit} at ${offset}`, change);
}

/** Sectors that hold something. */
function usedSectors(bytes: Uint8Array): number[] {
  const starts = Array.from({ length: bytes.length / SECTOR }, (_, sector) => sector * SECTOR);
  return starts.filter((start) => bytes.subarray(start, start + SECTOR).some((byte) => byte !== 0));
}

/** Segments that the log needs. */
function livePaths(from: Image): string[] {
  const result = recover(from);
  if (result.type !== "recovered") throw new Error("The image is whole");
  return result.live.map((segment) => `${LOG_DIRECTORY}/${segment.name}`);
}

describe.each([
  ["closed", true],
  ["killed", false],
] as const)("damage to a log that was %s", (_name, closed) => {
  const whole = image("damage", closed);
  const live = livePaths(whole);

  it("has several segments", () => {
    expect(live.length).toBeGreaterThan(1);
    expect(isFound(whole, () => "nothing")).toBe(false);
  });

  it("finds every flipped bit that was acknowledged", () => {
    // No flip looks like a torn write: even the last group is never given up for one.
    const strict = { ...whole, least: whole.history.acknowledged };
    const prng = new Prng("flips");
    for (const path of live)
      for (const sector of usedSectors(whole.disk.read(path)))
        for (let offset = sector; offset < sector + SECTOR; offset += prng.between(1, 30))
          flip(strict, path, offset, prng.below(8));
  });

  it("finds zeroed ranges", () => {
    let found = 0;
    for (const path of whole.disk.paths())
      for (const sector of usedSectors(whole.disk.read(path)))
        for (const length of [1, 100, SECTOR, 3 * SECTOR, 4096, Infinity])
          for (const start of [sector, sector + 37])
            if (
              withDamage(whole, path, `zeros from ${start}, ${length} bytes`, (bytes) =>
                bytes.fill(0, start, start + length),
              )
            )
              found += 1;
    expect(found).toBeGreaterThan(100);
  });

  it("finds segments that are cut, longer, or gone", () => {
    for (const path of live) {
      const { length } = whole.disk.read(path);
      for (const size of [0, 1, 511, 512, 4096, 5000, length - SECTOR, length - 1])
        expect(withDamage(whole, path, `cut at ${size}`, (bytes) => bytes.slice(0, size))).toBe(true);
      expect(withDamage(whole, path, "longer", (bytes) => Buffer.concat([bytes, new Uint8Array(1)]))).toBe(true);
    }
    for (const path of whole.disk.paths()) {
      const before = whole.disk.read(path);
      whole.disk.erase(path);
      isFound(whole, () => `${path} is gone`);
      whole.disk.corrupt(path, () => before);
    }
  });

  it("finds segments and sectors that changed places", () => {
    const prng = new Prng("places");
    for (const path of live) {
      for (const other of live) {
        if (other === path) continue;
        const bytes = whole.disk.read(other);
        expect(withDamage(whole, path, `content of ${other}`, () => bytes)).toBe(true);
      }
      const sectors = usedSectors(whole.disk.read(path)).filter((start) => start >= GROUPS_OFFSET);
      for (let round = 0; round < 200; round += 1) {
        const from = prng.pick(sectors);
        const to = prng.pick([...sectors, sectors.at(-1)! + SECTOR]);
        withDamage(whole, path, `sector ${from} at ${to}`, (bytes) => bytes.copyWithin(to, from, from + SECTOR));
      }
    }
  });

  it("finds segments of another member", () => {
    const other = image("damage", closed);
    for (const path of live) {
      const stranger = other.disk.read(path);
      // The same history under another member id: only the identity and its checksums differ.
      const id = Buffer.from("a1".padStart(16, "0"), "hex").reverse();
      const at = Buffer.from(stranger.buffer, stranger.byteOffset, 512).indexOf(id);
      stranger[at] = 0xa2;
      new DataView(stranger.buffer, stranger.byteOffset).setUint32(508, crc32(stranger.subarray(0, 508)), true);
      expect(withDamage(whole, path, "another member's segment", () => stranger)).toBe(true);
    }
  });

  it("finds old copies of segments that were followed by others", () => {
    // An old copy of the whole last segment is a log as it once was: only the other members know better.
    let found = 0;
    for (const path of live.slice(0, -1))
      for (const moment of whole.past) {
        const old = moment.get(path);
        if (old !== undefined && withDamage(whole, path, "old copy", () => old)) found += 1;
      }
    expect(found).toBeGreaterThan(5);
  });

  it("finds old sectors that came back", () => {
    const prng = new Prng("sectors");
    for (const path of live)
      for (const moment of whole.past) {
        const old = moment.get(path);
        if (old === undefined) continue;
        for (const sector of usedSectors(whole.disk.read(path)))
          if (prng.chance(0.3))
            withDamage(whole, path, `old sector ${sector}`, (bytes) => {
              bytes.set(old.subarray(sector, sector + SECTOR), sector);
              return bytes;
            });
      }
  });

  it("takes lengths that lie for damage", () => {
    for (const path of live)
      for (const length of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
        for (const field of [28, 32])
          expect(
            withDamage(whole, path, `field ${field} is ${length}`, (bytes) => {
              const view = new DataView(bytes.buffer, bytes.byteOffset);
              if (view.getUint32(GROUPS_OFFSET + field, true) === length)
                view.setUint32(GROUPS_OFFSET + field, 2, true);
              else view.setUint32(GROUPS_OFFSET + field, length, true);
              const header = bytes.subarray(GROUPS_OFFSET, GROUPS_OFFSET + 60);
              view.setUint32(GROUPS_OFFSET + 60, crc32(header), true);
              return bytes;
            }),
          ).toBe(true);
  });
});

describe("damage", () => {
  it("is every flipped byte of a small log, but for the sectors that only add a check", () => {
    const small = image("small", true, 6);
    const [path, ...others] = livePaths(small);
    expect(others).toEqual([]);
    const missed = new Set<number>();
    for (const sector of usedSectors(small.disk.read(path!)))
      for (let offset = sector; offset < sector + SECTOR; offset += 1)
        if (!flip(small, path!, offset, offset % 8)) missed.add(sector);
    expect([...missed]).toEqual([SECTOR]);
  });

  it("names segment, offset, identity and the last good entry, and leaves the log as it is", () => {
    const whole = image("named", true);
    const path = livePaths(whole).at(-1)!;
    const offset = usedSectors(whole.disk.read(path)).at(-1)!;
    whole.disk.flipBit(path, offset, 3);
    const before = whole.disk.paths().map((each) => [each, whole.disk.read(each)]);
    const opened = openLog(whole.disk.mount(), LOG_DIRECTORY, OPTIONS);
    if (opened.type !== "damaged") throw new Error(`Opened: ${opened.type}`);
    const { damage } = opened;
    expect(`${LOG_DIRECTORY}/${damage.segment}`).toBe(path);
    expect(damage.offset).toBeLessThanOrEqual(offset);
    expect(damage.offset).toBeGreaterThan(offset - 4096);
    expect(damage.identity?.memberId).toBe(IDENTITY.memberId);
    expect(damage.lastGoodIndex).toBeGreaterThan(0);
    expect(damage.lastGoodIndex).toBeLessThanOrEqual(whole.history.model.lastIndex);
    expect(whole.disk.paths().map((each) => [each, whole.disk.read(each)])).toEqual(before);
  });

  it("is a segment that the device cannot read", () => {
    const whole = image("unreadable", true);
    whole.disk.faults.readFails = 1;
    const opened = openLog(whole.disk.mount(), LOG_DIRECTORY, OPTIONS);
    expect(opened).toMatchObject({ type: "damaged", damage: { reason: "Segment cannot be read: input/output error" } });
  });

  it("is a log of another Raft group", () => {
    const whole = image("group", true);
    const opened = openLog(whole.disk.mount(), LOG_DIRECTORY, { ...OPTIONS, groupId: 7 });
    expect(opened.type).toBe("damaged");
  });

  it("is not a newer format: that is refused and left alone", () => {
    const whole = image("newer", true);
    const path = livePaths(whole).at(-1)!;
    whole.disk.corrupt(path, (bytes) => {
      bytes[4] = 2;
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(508, crc32(bytes.subarray(0, 508)), true);
      return bytes;
    });
    const attempt = (): unknown => openLog(whole.disk.mount(), LOG_DIRECTORY, OPTIONS);
    expect(attempt).toThrow(ConcordError);
    expect(attempt).toThrow("format version 2");
  });

  it("is the loss of a segment whose entries are in no checkpoint", () => {
    const whole = withoutCheckpoint();
    const [oldest, ...others] = livePaths(whole);
    expect(others.length).toBeGreaterThan(0);
    whole.disk.erase(oldest!);
    expect(recover(whole)).toMatchObject({
      type: "damaged",
      damage: { reason: expect.stringMatching(/^Log begins behind entry \d+, the checkpoint ends at entry 0$/) },
    });
  });

  it("is a segment that another one does not follow, though it ends at the right place", () => {
    const whole = withoutCheckpoint();
    const other = withoutCheckpoint(9);
    const [path] = livePaths(whole);
    expect(livePaths(other)[0]).toBe(path);
    whole.disk.corrupt(path!, () => other.disk.read(path!));
    expect(recover(whole)).toMatchObject({
      type: "damaged",
      damage: { reason: expect.stringContaining("follows it there") },
    });
  });

  it("is the loss of the fresh segment of an opening", () => {
    const whole = image("fresh", true);
    const opened = openLog(whole.disk.mount(), LOG_DIRECTORY, OPTIONS);
    expect(opened.type).toBe("opened");
    const generations = whole.disk.paths().map((path) => Number(/(\d{16})\.wal$/.exec(path)?.[1] ?? 0));
    const fresh = segmentName(Math.max(...generations));
    whole.disk.kill();
    whole.disk.erase(`${LOG_DIRECTORY}/${fresh}`);
    expect(recover(whole)).toMatchObject({ type: "damaged", damage: { reason: expect.stringContaining("is gone") } });
  });
});
