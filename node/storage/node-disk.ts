import {
  close,
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsync,
  fsyncSync,
  mkdirSync,
  open,
  openSync,
  readdirSync,
  readFileSync,
  rename,
  renameSync,
  rmSync,
  unlink,
  write,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { type Disk, type DiskFile } from "./disk.ts";

type Done = (error: Error | undefined) => void;

/** The file system of the operating system. What takes time while a node runs goes through the thread pool. */
export class NodeDisk implements Disk {
  list(directory: string): string[] {
    try {
      return readdirSync(directory).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  readFile(path: string): Uint8Array {
    // A Buffer is a Uint8Array whose `slice` does not copy: nobody who is promised the one expects the other.
    const { buffer, byteOffset, length } = readFileSync(path);
    return new Uint8Array(buffer, byteOffset, length);
  }

  makeDirectory(path: string): void {
    const topmost = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (topmost === undefined) return;
    // Each new name is durable once the directory that holds it is.
    for (let made = path; made.length >= topmost.length; made = dirname(made)) this.syncDirectory(dirname(made));
  }

  writeFileDurably(path: string, bytes: Uint8Array): void {
    const descriptor = openSync(path, "w", 0o600);
    try {
      writeWhole(descriptor, bytes, 0);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    this.syncDirectory(dirname(path));
  }

  renameDurably(from: string, to: string): void {
    renameSync(from, to);
    for (const directory of new Set([dirname(from), dirname(to)])) this.syncDirectory(directory);
  }

  remove(path: string): void {
    rmSync(path, { recursive: true });
  }

  syncDirectory(path: string): void {
    const descriptor = openSync(path, "r");
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  open(path: string): DiskFile {
    return new NodeDiskFile(path);
  }

  renameAndSync(from: string, to: string, done: Done): void {
    rename(from, to, (error) => {
      const directories = new Set([dirname(from), dirname(to)]);
      if (error === null) syncDirectories([...directories], done);
      else done(error);
    });
  }

  removeAndSync(path: string, done: Done): void {
    unlink(path, (error) => {
      if (error === null) syncDirectories([dirname(path)], done);
      else done(error);
    });
  }
}

class NodeDiskFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;

  constructor(path: string) {
    this.path = path;
    try {
      this.#descriptor = openSync(path, "r+");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      this.#descriptor = openSync(path, "wx+", 0o600);
    }
  }

  size(): number {
    return fstatSync(this.#descriptor).size;
  }

  writeSync(bytes: Uint8Array, position: number): void {
    writeWhole(this.#descriptor, bytes, position);
  }

  syncSync(): void {
    fdatasyncSync(this.#descriptor);
  }

  writeAndSync(bytes: readonly Uint8Array[], position: number, done: Done): void {
    const [first, ...rest] = bytes;
    if (first === undefined) {
      fdatasync(this.#descriptor, (error) => done(error ?? undefined));
      return;
    }
    this.#write(first, position, (error) => {
      if (error === undefined) this.writeAndSync(rest, position + first.length, done);
      else done(error);
    });
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** A write may take less than it was given: the rest follows. */
  #write(bytes: Uint8Array, position: number, done: Done): void {
    write(this.#descriptor, bytes, 0, bytes.length, position, (error, written) => {
      if (error !== null) done(error);
      else if (written >= bytes.length) done(undefined);
      else if (written === 0) done(new Error(`Disk took no byte of ${bytes.length} at position ${position}`));
      else this.#write(bytes.subarray(written), position + written, done);
    });
  }
}

function writeWhole(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length;) {
    const written = writeSync(descriptor, bytes, at, bytes.length - at, position + at);
    if (written === 0) throw new Error(`Disk took no byte of ${bytes.length - at} at position ${position + at}`);
    at += written;
  }
}

function syncDirectories(paths: readonly string[], done: Done): void {
  const [path, ...rest] = paths;
  if (path === undefined) {
    done(undefined);
    return;
  }
  open(path, "r", (openError, descriptor) => {
    if (openError !== null) {
      done(openError);
      return;
    }
    fsync(descriptor, (error) => {
      close(descriptor, () => {
        if (error === null) syncDirectories(rest, done);
        else done(error);
      });
    });
  });
}
