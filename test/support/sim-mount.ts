import { dirname } from "node:path";
import { type Disk, type DiskFile } from "../../node/storage/disk.ts";
import { type SimDisk } from "./sim-disk.ts";
import { type Choose, SIM_PAGE_BYTES, SimFile } from "./sim-file.ts";

type Done = (error: Error | undefined) => void;

/** The disk as one process sees it. */
export class SimMount implements Disk {
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
    this.disk.directoryMoved(from, to);
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

/** Thrown by every operation of a process that is dead, and by the one that kills it. */
export class SimulatedCrash extends Error {
  constructor() {
    super("The simulated process is dead");
    this.name = "SimulatedCrash";
  }
}

/** An error as the file system gives it. */
export function failure(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
