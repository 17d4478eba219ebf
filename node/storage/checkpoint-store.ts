import { type SnapshotMeta } from "../raft/types.ts";

/**
 * A checkpoint: pages of the machine's state under page numbers, and one meta row that names a whole, consistent set of
 * them. A write becomes visible with its meta row or not at all. The store verifies on load: a checksum per page,
 * group id, format version, page count, and an additive hash over all pages.
 */
export interface CheckpointMeta {
  readonly snapshot: SnapshotMeta;
  /** The machine's own words about itself (revisions, versions, members): opaque here. */
  readonly machine: Uint8Array;
}

export interface Page {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/**
 * `damaged` says what is wrong and where. A store knows only what it holds: whether a `loaded` or `empty` checkpoint is
 * the one that the log names is for the caller to compare (`meta.snapshot.index`).
 */
export type LoadedCheckpoint =
  | { readonly type: "empty" }
  | { readonly type: "loaded"; readonly meta: CheckpointMeta }
  | { readonly type: "damaged"; readonly reason: string };

/** Completions come later than the call, one for each, in the order of the calls. */
export interface CheckpointStore {
  /**
   * Reads and verifies everything, in slices that do not hold the loop. `onPages` gets pages in any order, in batches;
   * it owns them. The result is only known at the end: pages handed out before a `damaged` result must be thrown away.
   */
  load(onPages: (pages: readonly Page[]) => void, done: (result: LoadedCheckpoint) => void): void;
  /**
   * Reads the last committed checkpoint back from its files and verifies it as `load` does, without handing out pages.
   * Only after `loaded` may the log before the checkpoint go. Not while a writer is open.
   */
  verify(done: (result: LoadedCheckpoint) => void): void;
  /** Starts a write on top of the last committed checkpoint; one at a time. Writes to a damaged store fail until `clear`. */
  begin(): CheckpointWriter;
  /** Removes everything, so that a damaged checkpoint can be written anew. Not while a writer is open. */
  clear(done: (error: Error | undefined) => void): void;
  /** Bytes of all pages of the last committed checkpoint; 0 until it was loaded. */
  bytes(): number;
  /** Waits for the job in flight; what was not committed is lost. Idempotent. */
  close(done: (error: Error | undefined) => void): void;
}

/**
 * After an error the writer takes nothing more but `abort`; the last committed checkpoint stays as it is. Calls after
 * the store was closed fail.
 */
export interface CheckpointWriter {
  /** Adds or replaces pages. Wait for `done` before the next call: that is the back-pressure. */
  put(pages: readonly Page[], done: (error: Error | undefined) => void): void;
  /** Removes pages; numbers that are not there are passed over. */
  remove(numbers: readonly number[], done: (error: Error | undefined) => void): void;
  /** Makes the write visible and durable (one atomic batch with the meta row). Ends the writer. */
  commit(meta: CheckpointMeta, done: (error: Error | undefined) => void): void;
  /** Drops the write and ends the writer; may be called while a call is in flight, but not during `commit`. */
  abort(): void;
}

/**
 * Opens checkpoint stores by directory name (`checkpoint-<n>`) under the data directory. Errors of opening are those of
 * the machine it runs on: locked, disk full, no permission. Damage is not an error: the store opens, and says so in `load`.
 */
export interface CheckpointFactory {
  open(directory: string, done: (error: Error | undefined, store: CheckpointStore | undefined) => void): void;
  /** Removes the directory of a checkpoint that no log record names. It must not be open. */
  destroy(directory: string, done: (error: Error | undefined) => void): void;
  /** Directories that are there, by ascending number. */
  list(): string[];
}
