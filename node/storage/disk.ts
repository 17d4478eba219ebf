/**
 * The few things the log needs of a file system. One implementation is real, one is simulated (torn and lost writes,
 * bit flips, a full disk, power loss). Opening a log is synchronous, appending to it is not: completions, not promises,
 * so that a simulator can drain them in an order that its seed decides.
 */
export interface Disk {
  // Opening: synchronous.
  /** Names in a directory, sorted. Empty when it does not exist. */
  list(directory: string): string[];
  exists(path: string): boolean;
  /** The whole file. */
  readFile(path: string): Uint8Array;
  /** Creates the directory and its parents, durably. */
  makeDirectory(path: string): void;
  /** Writes a new file whole and makes it durable, its name too. */
  writeFileDurably(path: string, bytes: Uint8Array): void;
  /** Renames and makes the names of both directories durable. Works for files and directories. */
  renameDurably(from: string, to: string): void;
  /** Removes a file, or a directory with everything in it. Not durable until `syncDirectory`. */
  remove(path: string): void;
  syncDirectory(path: string): void;
  /** Opens for writing at positions; creates an empty file when there is none. */
  open(path: string): DiskFile;

  // While running: off the hot path.
  /** `renameDurably` without blocking. */
  renameAndSync(from: string, to: string, done: (error: Error | undefined) => void): void;
  /** Removes a file and makes that durable, without blocking. */
  removeAndSync(path: string, done: (error: Error | undefined) => void): void;
}

/** An open file. One write or sync is in flight at a time. */
export interface DiskFile {
  readonly path: string;
  size(): number;
  writeSync(bytes: Uint8Array, position: number): void;
  syncSync(): void;
  /** Writes all bytes one behind the other, then makes them durable. They stay untouched until `done`. A failed sync is never retried: the caller ends the node. */
  writeAndSync(bytes: readonly Uint8Array[], position: number, done: (error: Error | undefined) => void): void;
  close(): void;
}
