import { type Entry, type HardState, type Index, type MemberId, type SnapshotMeta } from "../raft/types.ts";

/** Who wrote these files. Stands in every segment and is checked when a log is opened. */
export interface LogIdentity {
  readonly groupId: number;
  /** 16 hex digits; empty until the member was founded or adopted. */
  readonly clusterId: string;
  readonly memberId: MemberId;
  readonly memberName: string;
}

/** What a whole log holds. */
export interface RecoveredLog {
  readonly identity: LogIdentity;
  readonly hardState: HardState;
  /** The last checkpoint the log names. `meta.index` 0 when there is none yet. */
  readonly checkpoint: CheckpointPointer;
  /** Entries behind `compacted`, without gaps. May start at or before the checkpoint's index. */
  readonly entries: readonly Entry[];
  /** How the tail was. `torn`: an unacknowledged group was cut; `bytes` of it. */
  readonly tail:
    { readonly type: "clean" } | { readonly type: "torn"; readonly segment: string; readonly offset: number };
}

/** Names the checkpoint that a restart begins with. */
export interface CheckpointPointer {
  readonly meta: SnapshotMeta;
  /** Directory of the checkpoint, relative to the data directory. */
  readonly directory: string;
}

/** Damage: bytes that were acknowledged are wrong. The member must not act under its id again. */
export interface LogDamage {
  readonly segment: string;
  readonly offset: number;
  /** One sentence: what was found, what was expected. */
  readonly reason: string;
  /** Who it was, where that could still be read. */
  readonly identity: LogIdentity | undefined;
  /** Entries up to this index were read whole. */
  readonly lastGoodIndex: Index;
}

export type OpenedLog =
  | { readonly type: "opened"; readonly store: LogStore; readonly recovered: RecoveredLog }
  | { readonly type: "empty" }
  | { readonly type: "damaged"; readonly damage: LogDamage };

/** One group of the log: it is durable whole or not at all. */
export interface LogGroup {
  /**
   * A new cluster id or member name: a member that waits learns its cluster id when it founds or is adopted. Group id and
   * member id never change, and a cluster id that is known never does.
   */
  readonly identity?: LogIdentity | undefined;
  readonly hardState?: HardState | undefined;
  /** Contiguous. When the first index is not behind the log's end, the log is cut there. */
  readonly entries?: readonly Entry[] | undefined;
  /** Makes a checkpoint the one a restart begins with. For an installed snapshot this record is the commit point; entries before are dropped. */
  readonly checkpoint?: CheckpointPointer | undefined;
  /** The checkpoint came from the leader: the log restarts behind it. */
  readonly resetLog?: boolean | undefined;
}

/** The durable log of one member. Groups given while one is being synced join the next. */
export interface LogStore {
  /**
   * Calls `done` when the group is durable, in order and never before `append` returns. An error is final: the store
   * takes nothing more, the node ends. A group that would leave a gap is a bug of the caller and throws InvariantError.
   */
  append(group: LogGroup, done: (error: Error | undefined) => void): void;
  /** Entries up to `index` are in a checkpoint that was read back: their segments may be recycled. */
  release(index: Index): void;
  stats(): LogStats;
  /** Waits for what was appended. */
  close(done: (error: Error | undefined) => void): void;
}

export interface LogStats {
  readonly segments: number;
  readonly bytes: number;
  readonly syncs: number;
  readonly groups: number;
}
