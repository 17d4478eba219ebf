import { dirname } from "node:path";
import { type Disk, type DiskFile } from "../../node/storage/disk.ts";
import { type Prng } from "./prng.ts";
import { type Choose, SIM_PAGE_BYTES, SimFile } from "./sim-file.ts";

export { type Choose } from "./sim-file.ts";

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

/** Thrown by every operation of a process that is dead, and by the one that kills it. */
export class SimulatedCrash extends Error {
  constructor() {
    super("The simulated process is dead");
    this.name = "SimulatedCrash";
  }
}

type Done = (error: Error | undefined) => void;

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

/** The disk as one process sees it. */
class SimMount implements Disk {
  readonly disk: SimDisk;
  #alive = true;
  /** Writes that were handed over and are not in the page cache yet. */
  readonly writing = new Set<(choose: Choose) => void>();

  constructor(disk: SimDisk) {
    this.disk = disk;
  }

  get alive(): boolean {
    return this.#alive;
  }

  die(choose: Choose): void {
    this.#alive = false;
    for (const partly of this.writing) partly(choose);
    this.writing.clear();
  }

  /** @throws SimulatedCrash when the process is dead, or dies here */
  step(what: string): void {
    if (!this.#alive) throw new SimulatedCrash();
    if (this.disk.steps >= this.disk.crashAtStep) {
      this.disk.kill();
      throw new SimulatedCrash();
    }
    this.disk.steps += 1;
    this.disk.onStep(what);
  }

  /** `step` for completions: false when the process is dead, or dies here. */
  maybeStep(what: string): boolean {
    try {
      this.step(what);
      return true;
    } catch (error) {
      if (error instanceof SimulatedCrash) return false;
      throw error;
    }
  }

  list(directory: string): string[] {
    this.#read();
    const prefix = `${directory}/`;
    const names = [...this.disk.names.keys()].filter((path) => path.startsWith(prefix));
    return names
      .map((path) => path.slice(prefix.length))
      .filter((name) => !name.includes("/"))
      .sort();
  }

  exists(path: string): boolean {
    this.#read();
    return this.disk.names.has(path);
  }

  readFile(path: string): Uint8Array {
    this.#read();
    const bytes = this.disk.read(path);
    if (this.disk.prng.chance(this.disk.faults.readFails)) throw failure("EIO", `input/output error, "${path}"`);
    return bytes;
  }

  makeDirectory(path: string): void {
    this.step(`make ${path}`);
    this.disk.makeDirectory(path);
  }

  writeFileDurably(path: string, bytes: Uint8Array): void {
    if (this.exists(path)) this.remove(path);
    const file = this.open(path);
    file.writeSync(bytes, 0);
    file.syncSync();
    this.syncDirectory(dirname(path));
  }

  renameDurably(from: string, to: string): void {
    this.#rename(from, to);
    for (const directory of new Set([dirname(from), dirname(to)])) this.syncDirectory(directory);
  }

  remove(path: string): void {
    this.step(`remove ${path}`);
    if (!this.disk.names.has(path)) throw failure("ENOENT", `no such file, "${path}"`);
    this.disk.change({
      directories: [dirname(path)],
      apply: (names) => {
        for (const each of [...names.keys()]) if (each === path || each.startsWith(`${path}/`)) names.delete(each);
      },
    });
  }

  syncDirectory(path: string): void {
    this.step(`sync directory ${path}`);
    this.disk.syncDirectory(path);
  }

  open(path: string): DiskFile {
    this.#read();
    if (!this.disk.names.has(path)) {
      this.step(`create ${path}`);
      if (!this.disk.names.has(dirname(path))) throw failure("ENOENT", `no such directory, "${dirname(path)}"`);
      const file = new SimFile();
      this.disk.change({ directories: [dirname(path)], named: file, apply: (names) => names.set(path, file) });
    }
    return new SimDiskFile(this, path, this.disk.file(path));
  }

  renameAndSync(from: string, to: string, done: Done): void {
    this.#nameLater(done, () => this.#rename(from, to), [dirname(from), dirname(to)]);
  }

  removeAndSync(path: string, done: Done): void {
    this.#nameLater(done, () => this.remove(path), [dirname(path)]);
  }

  #nameLater(done: Done, change: () => void, directories: readonly string[]): void {
    this.#read();
    this.disk.later("write", () => {
      if (!this.#alive) return;
      try {
        change();
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) done(error as Error);
        return;
      }
      this.disk.later("sync", () => {
        for (const directory of new Set(directories)) {
          if (!this.maybeStep(`sync directory ${directory}`)) return;
          this.disk.syncDirectory(directory);
        }
        done(undefined);
      });
    });
  }

  #rename(from: string, to: string): void {
    this.step(`rename ${from} to ${to}`);
    const moved = this.disk.names.get(from);
    if (moved === undefined) throw failure("ENOENT", `no such file, "${from}"`);
    this.disk.change({
      directories: [dirname(from), dirname(to)],
      named: moved,
      apply: (names) => {
        for (const [path, file] of [...names]) {
          if (!path.startsWith(`${from}/`)) continue;
          names.delete(path);
          names.set(`${to}${path.slice(from.length)}`, file);
        }
        names.delete(from);
        names.set(to, moved);
      },
    });
  }

  #read(): void {
    if (!this.#alive) throw new SimulatedCrash();
  }
}

class SimDiskFile implements DiskFile {
  readonly path: string;
  readonly #mount: SimMount;
  readonly #file: SimFile;
  #busy = false;
  #closed = false;

  constructor(mount: SimMount, path: string, file: SimFile) {
    this.#mount = mount;
    this.path = path;
    this.#file = file;
  }

  size(): number {
    return this.#file.size;
  }

  writeSync(bytes: Uint8Array, position: number): void {
    this.#begin();
    this.#mount.step(`write ${this.path} ${position}+${bytes.length}`);
    const error = this.#write(bytes, position);
    if (error !== undefined) throw error;
  }

  syncSync(): void {
    this.#begin();
    this.#mount.step(`sync ${this.path}`);
    const error = this.#sync();
    if (error !== undefined) throw error;
  }

  writeAndSync(bytes: readonly Uint8Array[], position: number, done: Done): void {
    this.#begin();
    if (!this.#mount.alive) throw new SimulatedCrash();
    this.#busy = true;
    const whole = Buffer.concat(bytes);
    const partly = (choose: Choose): void => this.#writePages(whole, position, choose);
    this.#mount.writing.add(partly);
    const complete = (error: Error | undefined): void => {
      this.#busy = false;
      done(error);
    };
    this.#mount.disk.later("write", () => {
      if (!this.#mount.maybeStep(`write ${this.path} ${position}+${whole.length}`)) return;
      this.#mount.writing.delete(partly);
      const failed = this.#write(whole, position);
      if (failed !== undefined) {
        complete(failed);
        return;
      }
      this.#mount.disk.later("sync", () => {
        if (this.#mount.maybeStep(`sync ${this.path}`)) complete(this.#sync());
      });
    });
  }

  close(): void {
    if (this.#closed) throw failure("EBADF", "bad file descriptor, close");
    this.#closed = true;
  }

  #begin(): void {
    if (this.#closed) throw failure("EBADF", `bad file descriptor, "${this.path}"`);
    if (this.#busy) throw new Error(`A write or sync of "${this.path}" is in flight: only one may be`);
  }

  #write(bytes: Uint8Array, position: number): Error | undefined {
    const { disk } = this.#mount;
    const more = Math.max(0, position + bytes.length - this.#file.size);
    if (more > 0 && disk.usedBytes() + more > disk.faults.spaceBytes)
      return failure("ENOSPC", `no space left on device, "${this.path}"`);
    if (disk.prng.chance(disk.faults.writeFails)) {
      this.#writePages(bytes, position, (alternatives) => disk.prng.below(alternatives));
      return failure("EIO", `input/output error, write "${this.path}"`);
    }
    this.#file.write(bytes, position);
    return undefined;
  }

  /** The first pages of a write that did not finish. */
  #writePages(bytes: Uint8Array, position: number, choose: Choose): void {
    const pages = Math.ceil((position + bytes.length) / SIM_PAGE_BYTES) - Math.floor(position / SIM_PAGE_BYTES);
    const done = choose(pages + 1);
    const end = Math.min((Math.floor(position / SIM_PAGE_BYTES) + done) * SIM_PAGE_BYTES, position + bytes.length);
    if (done > 0) this.#file.write(bytes.subarray(0, end - position), position);
  }

  #sync(): Error | undefined {
    const { disk } = this.#mount;
    if (disk.prng.chance(disk.faults.syncFails)) {
      this.#file.failSync((alternatives) => disk.prng.below(alternatives));
      return failure("EIO", `input/output error, sync "${this.path}"`);
    }
    this.#file.sync();
    return undefined;
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

function failure(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
