import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { chmod, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConcordError } from "../client/errors.ts";
import { NodeDisk } from "./node-disk.ts";

/** A data directory that this instance alone uses until `close`. */
export interface DataDirectory {
  /** Absolute. */
  readonly path: string;
  /** What was repaired, or could not be: one sentence each. */
  readonly warnings: readonly string[];
  /** Gives the directory to the next one. Does nothing the second time. */
  close(): void;
}

/** The data directory of a member that is being restored from a backup. */
export interface RestoredDirectory extends DataDirectory {
  /** From here on a member may start in it: call it when everything else is durable. */
  finish(): void;
}

const LOCK_NAME = "lock";
const HOLDER_NAME = "lock-holder";
/** Stands in a directory that is being restored, from before the first byte of its data until all of it is durable. */
const RESTORING_NAME = "restoring";
/** No data: the lock, the journal that SQLite keeps beside it, and what many file systems have in their root. */
const OF_EVERY_DIRECTORY: ReadonlySet<string> = new Set([LOCK_NAME, `${LOCK_NAME}-journal`, HOLDER_NAME, "lost+found"]);
/** Only the owner may enter: keys and values lie in there. */
const MODE = 0o700;
const SQLITE_BUSY = 5;

/**
 * Creates the data directory if need be, sees to it that only its owner may enter, and locks it.
 *
 * The lock is one of the operating system, on the empty file `lock`. It ends with the process, however that ends, and
 * holds between containers that share the volume, where a process id means nothing. Node.js offers no file locks of its
 * own, but SQLite inside it does: an exclusive transaction that is never written to. SQLite also tells two instances of
 * one process apart. Nobody else may open and close that file in this process: POSIX would drop the lock.
 *
 * @throws ConcordError CONCORD_DATA_DIR_LOCKED, with `details.path` and `details.pid`, when another instance uses it
 * @throws ConcordError CONCORD_STORAGE_FAILED when the directory cannot be made or locked
 * @throws ConcordError CONCORD_RESTORE_UNFINISHED when a restore was interrupted in it
 */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  const opened = await lockDirectory(resolve(path));
  if (!existsSync(join(opened.path, RESTORING_NAME))) return opened;
  opened.close();
  const message = `The restore of the data directory "${opened.path}" did not finish; restore it again`;
  throw new ConcordError("CONCORD_RESTORE_UNFINISHED", message, { details: { path: opened.path } });
}

/**
 * Locks a data directory for a restore, and marks it so that no member starts in it. It must be empty, or hold a restore
 * that did not finish: that is removed.
 *
 * @throws ConcordError CONCORD_USAGE when it holds something else
 * @throws ConcordError CONCORD_DATA_DIR_LOCKED, CONCORD_STORAGE_FAILED
 */
export async function openRestoredDirectory(path: string): Promise<RestoredDirectory> {
  const disk = new NodeDisk();
  const directory = resolve(path);
  const marker = join(directory, RESTORING_NAME);
  /** What an interrupted restore has left. */
  const leftovers = (): string[] => {
    const found = disk.list(directory).filter((name) => !OF_EVERY_DIRECTORY.has(name));
    if (found.length === 0 || disk.exists(marker)) return found;
    throw new ConcordError("CONCORD_USAGE", `The directory "${directory}" is not empty: it holds ${found[0] ?? ""}`);
  };
  let opened: DataDirectory | undefined;
  try {
    // Before anything in it is touched, and again once nobody else can.
    leftovers();
    opened = await lockDirectory(directory);
    const others = leftovers();
    disk.writeFileDurably(marker, new Uint8Array(0));
    for (const name of others) if (name !== RESTORING_NAME) disk.remove(join(directory, name));
    disk.syncDirectory(directory);
  } catch (error) {
    opened?.close();
    throw ConcordError.is(error) ? error : unusable(directory, error as Error);
  }
  return {
    ...opened,
    finish() {
      disk.remove(marker);
      disk.syncDirectory(directory);
    },
  };
}

async function lockDirectory(directory: string): Promise<DataDirectory> {
  const warnings: string[] = [];
  try {
    new NodeDisk().makeDirectory(directory);
    warnings.push(...(await repairMode(directory)));
  } catch (error) {
    throw unusable(directory, error as Error);
  }
  const release = takeLock(directory);
  writeHolder(directory);
  return { path: directory, warnings, close: release };
}

async function repairMode(directory: string): Promise<string[]> {
  const { mode } = await stat(directory);
  const permissions = mode & 0o777;
  if ((permissions & ~MODE) === 0) return [];
  const found = `Data directory "${directory}" had mode 0${permissions.toString(8)}`;
  try {
    await chmod(directory, MODE);
    return [`${found}, it is 0700 now`];
  } catch (error) {
    // The root of a volume can belong to somebody else.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    return [`${found}, wanted 0700, and it belongs to another user`];
  }
}

function takeLock(directory: string): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(directory, LOCK_NAME));
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    if (database?.isOpen === true) database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) throw locked(directory, error as Error);
    throw unusable(directory, error as Error);
  }
  const held = database;
  return () => {
    if (held.isOpen) held.close();
  };
}

/** For people and error messages only: the lock does not depend on it. */
function writeHolder(directory: string): void {
  writeFileSync(join(directory, HOLDER_NAME), `${process.pid} ${hostname()}\n`, { mode: 0o600 });
}

function locked(directory: string, cause: Error): ConcordError {
  let holder: string[] = [];
  try {
    holder = readFileSync(join(directory, HOLDER_NAME), "utf8").trim().split(" ");
  } catch {
    // Whoever holds the lock has not said so yet.
  }
  const [pid = "", host = ""] = holder;
  const by = pid === "" ? "another process" : `process ${pid} on host "${host}"`;
  return new ConcordError("CONCORD_DATA_DIR_LOCKED", `Data directory "${directory}" is used by ${by}`, {
    cause,
    details: { path: directory, pid: pid === "" ? undefined : Number(pid) },
  });
}

function unusable(directory: string, cause: Error): ConcordError {
  return new ConcordError("CONCORD_STORAGE_FAILED", `Cannot use the data directory "${directory}": ${cause.message}`, {
    cause,
  });
}
