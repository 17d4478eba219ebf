import { readdir } from "node:fs/promises";
import { type ChainedBatch, ClassicLevel } from "classic-level";
import { ConcordError } from "../../client/errors.ts";
import { removeDurably } from "./durable-file.ts";
import { type JobQueue } from "./job-queue.ts";
import { type Row } from "./scan.ts";

type Level = ClassicLevel<Uint8Array, Uint8Array>;
export type Batch = ChainedBatch<Level, Uint8Array, Uint8Array>;

/** Rows read in one job, in bytes and number: about a millisecond of work for the loop. */
const SCAN_BYTES = 256 << 10;
const SCAN_ROWS = 512;
/** All spelled out: a default that changes must not change how a store lies on disk. */
const OPEN_OPTIONS = {
  createIfMissing: true,
  errorIfExists: false,
  compression: true,
  // Every row is read once, at start; a cache would only hide what the disk says.
  cacheSize: 64 << 10,
  writeBufferSize: 4 << 20,
  blockSize: 16 << 10,
  blockRestartInterval: 16,
  maxOpenFiles: 256,
  maxFileSize: 8 << 20,
  multithreading: false,
} as const;

/** The files are not what LevelDB wrote, or cannot be read. */
export class DamagedFilesError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DamagedFilesError";
  }
}

/**
 * One LevelDB directory. It knows nothing of checkpoints, only of LevelDB's habits (measured on classic-level 3.0.0,
 * which is LevelDB 1.20 without `paranoid_checks` and `verify_checksums`):
 *
 * - A damaged block is handed out as if it were whole: callers check every row.
 * - A damaged log loses its rest without an error: callers count what should be there.
 * - Some damage aborts the process: see `OpenGuard`.
 * - A synced write makes durable what stands before it in the same log file only. When the log was switched in between,
 *   the older file is not synced until its table is written. So `flush` comes before a write that makes others count.
 * - After a failed write nothing more can be relied on until the directory is opened again.
 */
export class Database {
  readonly #path: string;
  readonly #jobs: JobQueue;
  #level: Level | undefined;

  constructor(path: string, jobs: JobQueue) {
    this.#path = path;
    this.#jobs = jobs;
  }

  /**
   * @throws DamagedFilesError when LevelDB cannot make sense of the files; ConcordError when they are locked, the disk is
   * full, or rights are missing.
   */
  async open(): Promise<void> {
    await this.#checkCurrent();
    const level: Level = new ClassicLevel(this.#path, { keyEncoding: "view", valueEncoding: "view" });
    try {
      await this.#jobs.run(() => level.open(OPEN_OPTIONS));
    } catch (error) {
      throw openError(this.#path, error);
    }
    this.#level = level;
  }

  async close(): Promise<void> {
    const level = this.#level;
    this.#level = undefined;
    if (level !== undefined) await this.#jobs.run(() => level.close());
  }

  /** Closes and removes everything. */
  async destroy(): Promise<void> {
    await this.close();
    await removeDurably(this.#path);
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#read(async () => {
      const value = await this.#opened.get(key, { fillCache: false });
      return value === undefined ? undefined : plain(value);
    });
  }

  /** Hands out all rows in key order, a slice at a time; other jobs get their turn in between. */
  async scan(visit: (rows: readonly Row[]) => void): Promise<void> {
    const iterator = this.#opened.iterator({ fillCache: false, highWaterMarkBytes: SCAN_BYTES });
    try {
      for (;;) {
        const rows = await this.#read(() => iterator.nextv(SCAN_ROWS));
        if (rows.length === 0) return;
        visit(rows.map(([key, value]) => [plain(key), plain(value)]));
      }
    } finally {
      await iterator.close();
    }
  }

  /** Writes what `fill` puts into the batch, all or nothing. `sync`: durable afterwards, see the class. */
  write(fill: (batch: Batch) => void, options: { readonly sync: boolean }): Promise<void> {
    return this.#jobs.run(async () => {
      // The chained form: the array form copies every row through JavaScript objects.
      const batch: Batch = this.#opened.batch();
      fill(batch);
      await batch.write(options);
    });
  }

  /** Moves everything written so far from LevelDB's log into tables, which are synced. */
  async flush(): Promise<void> {
    // Compacting a range begins with writing the memory table out; behind the last key there is nothing else to do.
    const beyond = Uint8Array.of(0xff);
    await this.#jobs.run(() => this.#opened.compactRange(beyond, beyond));
    // It does not say whether it worked, but after a failure every write fails.
    await this.write((batch) => void batch.del(beyond), { sync: false });
  }

  get #opened(): Level {
    if (this.#level === undefined) throw new DamagedFilesError("The checkpoint's files are not open");
    return this.#level;
  }

  async #read<T>(job: () => Promise<T>): Promise<T> {
    try {
      return await this.#jobs.run(job);
    } catch (error) {
      throw new DamagedFilesError(`LevelDB cannot read its files: ${textOf(error)}`, { cause: error });
    }
  }

  /** LevelDB founds a new store where CURRENT is missing, whatever else is there. */
  async #checkCurrent(): Promise<void> {
    const names = await readdir(this.#path).catch((error: unknown): string[] => {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    });
    const data = names.find((name) => /\.(?:ldb|sst|log)$/.test(name));
    if (data !== undefined && !names.includes("CURRENT"))
      throw new DamagedFilesError(`File CURRENT is missing beside ${data}`);
  }
}

/** A Buffer's `slice` shares memory and a Uint8Array's copies: only the second may get out. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function openError(path: string, error: unknown): Error {
  const cause = (error as Error).cause ?? error;
  const code = (cause as { readonly code?: string }).code;
  if (code === "LEVEL_LOCKED")
    return new ConcordError("CONCORD_DATA_DIR_LOCKED", `Checkpoint "${path}" is used by another process`, { cause });
  const machine = /No space left|Disk quota|Permission denied|Read-only file system|Too many open files/;
  if (machine.test(textOf(cause)))
    return new ConcordError("CONCORD_STORAGE_FAILED", `Cannot open checkpoint "${path}": ${textOf(cause)}`, { cause });
  return new DamagedFilesError(`LevelDB cannot open its files: ${textOf(cause)}`, { cause });
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return error instanceof Error && error.cause !== undefined ? `${text}: ${textOf(error.cause)}` : text;
}
