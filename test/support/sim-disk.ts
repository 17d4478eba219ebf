import { dirname } from "node:path";
import { type Disk } from "../../node/storage/disk.ts";
import { type Prng } from "./prng.ts";
import { type Choose, SimFile } from "./sim-file.ts";
import { failure, SimMount } from "./sim-mount.ts";

export { type Choose } from "./sim-file.ts";
export { SimulatedCrash } from "./sim-mount.ts";

/** Runs an action later. A simulator passes its virtual clock; `ManualSchedule` is for tests that pick the order by hand. */
export type Schedule = (delayMs: number, action: () => void) => void;

/** Faults and delays. All may be changed while the disk is in use. */
export interface SimDiskFaults {
  /** Bytes that fit on the disk; writes that would make files larger fail with ENOSPC. @default Infinity */
  spaceBytes: number;
  /** Probability that a sync fails with EIO. @default 0 */
  syncFails: number;
  /** Probability that a write fails with EIO, with nothing or some pages of it done. @default 0 */
  writeFails: number;
  /** Probability that reading a file fails with EIO. @default 0 */
  readFails: number;
  /** Time of a write and of a sync, in ms: a random number between the two. @default [0, 1] */
  delayMs: readonly [number, number];
  /** Probability that a sync takes `slowSyncMs`. @default 0 */
  slowSyncs: number;
  /** @default 500 */
  slowSyncMs: number;
}

/** A change of a directory that is not durable yet. */
interface NameChange {
  readonly directories: readonly string[];
  /** What gets a name by it. */
  readonly named?: SimFile | "directory";
  apply(names: Map<string, SimFile | "directory">): void;
}

/**
 * A disk in memory with the failures of a real one. The page cache shows what was written; the device holds what was
 * synced, and after a loss of power any subset of the rest, sector by sector and name by name. Everything random comes
 * from the generator.
 *
 * One process at a time uses it: `mount` begins one, `kill` and `losePower` end it. Operations of a dead process never
 * complete.
 */
export class SimDisk {
  readonly faults: SimDiskFaults = {
    spaceBytes: Infinity,
    syncFails: 0,
    writeFails: 0,
    readFails: 0,
    delayMs: [0, 1],
    slowSyncs: 0,
    slowSyncMs: 500,
  };
  /** Steps that changed something so far: each is a place where a process can die. */
  steps = 0;
  /** The process dies in front of the step with this number. */
  crashAtStep = Infinity;
  /** Called in front of each step, for traces. */
  onStep: (what: string) => void = () => undefined;
  /** Decides what crashes leave. @default the generator */
  choose: Choose = (alternatives) => this.prng.below(alternatives);

  readonly prng: Prng;
  readonly #schedule: Schedule;
  #names = new Map<string, SimFile | "directory">();
  #durableNames = new Map<string, SimFile | "directory">();
  #changes: NameChange[] = [];
  #mount: SimMount | undefined;

  constructor(prng: Prng, schedule: Schedule) {
    this.prng = prng;
    this.#schedule = schedule;
  }

  /** Begins a process. The one before it, if any, is killed. */
  mount(): Disk {
    this.kill();
    this.crashAtStep = Infinity;
    this.#mount = new SimMount(this);
    return this.#mount;
  }

  /** The process ends. Its completed writes stay visible, synced or not; of a write under way some pages may be there. */
  kill(): void {
    this.#mount?.die(this.choose);
    this.#mount = undefined;
  }

  /** The machine loses power: the process ends, and un-synced sectors and names are kept or lost one by one. */
  losePower(): void {
    this.kill();
    const named = this.#changes.flatMap((change) => change.named ?? []);
    const files = new Set([...this.#names.values(), ...this.#durableNames.values(), ...named]);
    for (const change of this.#changes) if (this.choose(2) === 1) change.apply(this.#durableNames);
    this.#changes = [];
    for (const file of files) if (file !== "directory") file.losePower(this.choose);
    this.#names = new Map(this.#durableNames);
  }

  /** An independent copy of what is there, without a process. Whatever is un-synced stays un-synced in the copy. */
  snapshot(prng: Prng = this.prng): SimDisk {
    const copy = new SimDisk(prng, this.#schedule);
    const copies = new Map<SimFile, SimFile>();
    const copyOf = (file: SimFile | "directory"): SimFile | "directory" => {
      if (file === "directory") return file;
      const known = copies.get(file) ?? file.clone();
      copies.set(file, known);
      return known;
    };
    for (const [path, file] of this.#names) copy.#names.set(path, copyOf(file));
    for (const [path, file] of this.#durableNames) copy.#durableNames.set(path, copyOf(file));
    for (const change of this.#changes) if (change.named !== undefined) copyOf(change.named);
    copy.#changes = this.#changes.map((change) => ({
      directories: change.directories,
      ...(change.named === undefined ? {} : { named: copyOf(change.named) }),
      apply: (names) => {
        // The change brings in files of the original.
        change.apply(names);
        for (const [path, file] of names) names.set(path, file === "directory" ? file : (copies.get(file) ?? file));
      },
    }));
    return copy;
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    return [...this.#names].flatMap(([path, file]) => (file === "directory" ? [] : [path])).sort();
  }

  read(path: string): Uint8Array {
    return this.file(path).read();
  }

  /** Changes a file behind the back of everybody, durably. Creates it where there is none. */
  corrupt(path: string, change: (bytes: Uint8Array) => Uint8Array): void {
    if (!this.#names.has(path)) {
      const file = new SimFile();
      this.#names.set(path, file);
      this.#durableNames.set(path, file);
    }
    this.file(path).overwrite(change);
  }

  flipBit(path: string, offset: number, bit: number): void {
    this.corrupt(path, (bytes) => bytes.with(offset, (bytes[offset] ?? 0) ^ (1 << bit)));
  }

  zero(path: string, offset: number, length: number): void {
    this.corrupt(path, (bytes) => bytes.fill(0, offset, offset + length));
  }

  truncate(path: string, length: number): void {
    this.corrupt(path, (bytes) => bytes.slice(0, length));
  }

  /** Removes a file behind the back of everybody, durably. */
  erase(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  // For the mount.

  get names(): ReadonlyMap<string, SimFile | "directory"> {
    return this.#names;
  }

  file(path: string): SimFile {
    const file = this.#names.get(path);
    if (file === undefined || file === "directory") throw failure("ENOENT", `no such file, "${path}"`);
    return file;
  }

  change(change: NameChange): void {
    change.apply(this.#names);
    this.#changes.push(change);
  }

  syncDirectory(path: string): void {
    const synced = this.#changes.filter((change) => change.directories.includes(path));
    for (const change of synced) change.apply(this.#durableNames);
    this.#changes = this.#changes.filter((change) => !synced.includes(change));
  }

  /** A directory has another path, durably. What is not durable inside of it belongs to it, not to its old path. */
  directoryMoved(from: string, to: string): void {
    const inside = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`);
    this.#changes = this.#changes.map((change) => {
      if (!change.directories.some((directory) => inside(directory, from))) return change;
      return {
        ...change,
        directories: change.directories.map((path) => (inside(path, from) ? to + path.slice(from.length) : path)),
        apply: (names) => {
          const before = [...names].filter(([path]) => inside(path, to));
          const view = new Map(before.map(([path, file]) => [from + path.slice(to.length), file]));
          change.apply(view);
          for (const [path] of before) names.delete(path);
          for (const [path, file] of view) names.set(to + path.slice(from.length), file);
        },
      };
    });
  }

  /** Makes the whole path of a directory durable. */
  makeDirectory(path: string): void {
    for (let each = path; each !== dirname(each); each = dirname(each)) {
      this.#names.set(each, "directory");
      this.#durableNames.set(each, "directory");
    }
  }

  later(kind: "write" | "sync", action: () => void): void {
    const [low, high] = this.faults.delayMs;
    const slow = kind === "sync" && this.prng.chance(this.faults.slowSyncs);
    this.#schedule(slow ? this.faults.slowSyncMs : low + this.prng.float() * (high - low), action);
  }

  usedBytes(): number {
    let bytes = 0;
    for (const file of new Set(this.#names.values())) if (file !== "directory") bytes += file.size;
    return bytes;
  }
}

/** Completions that a test runs one by one, in any order. */
export class ManualSchedule {
  readonly #actions: (() => void)[] = [];

  readonly schedule: Schedule = (_delayMs, action) => {
    this.#actions.push(action);
  };

  get pending(): number {
    return this.#actions.length;
  }

  /** Runs one of the pending completions, by default the oldest. */
  run(at = 0): void {
    this.#actions.splice(at, 1)[0]?.();
  }

  /** Runs completions, oldest first, until nothing is pending or the condition holds. */
  drain(until: () => boolean = () => false): void {
    while (this.#actions.length > 0 && !until()) this.run();
  }
}
