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

export type LoadedCheckpoint =
  | { readonly type: "empty" }
  | { readonly type: "loaded"; readonly meta: CheckpointMeta }
  | { readonly type: "damaged"; readonly reason: string };

export interface CheckpointStore {
  /**
   * Reads and verifies everything. `onPages` gets pages in any order, in batches. The result is only known at the end:
   * pages handed out before a `damaged` result must be thrown away.
   */
  load(onPages: (pages: readonly Page[]) => void, done: (result: LoadedCheckpoint) => void): void;
  /** Starts a write; one at a time. */
  begin(): CheckpointWriter;
  /** Removes everything, so that a damaged checkpoint can be written anew. */
  clear(done: (error: Error | undefined) => void): void;
  bytes(): number;
  close(done: (error: Error | undefined) => void): void;
}

export interface CheckpointWriter {
  /** Adds or replaces pages. Wait for `done` before the next call: that is the back-pressure. */
  put(pages: readonly Page[], done: (error: Error | undefined) => void): void;
  remove(numbers: readonly number[], done: (error: Error | undefined) => void): void;
  /** Makes the write visible and durable (one atomic batch with the meta row). */
  commit(meta: CheckpointMeta, done: (error: Error | undefined) => void): void;
  abort(): void;
}

/** Opens checkpoint stores by directory name under the data directory. Lock errors and the like come as `error`. */
export interface CheckpointFactory {
  open(directory: string, done: (error: Error | undefined, store: CheckpointStore | undefined) => void): void;
  /** Removes the directory of a checkpoint that no log record names. */
  destroy(directory: string, done: (error: Error | undefined) => void): void;
  list(): string[];
}
