import {
  type ChangeEvent,
  type Command,
  type KeyRange,
  type Member,
  type Outcome,
  type RangeOperation,
  type Reply,
} from "./commands.ts";

/** The leader's two stamps on an entry (D9), and its place in the log. */
export interface EntryContext {
  readonly index: number;
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
}

export interface MachineOptions {
  readonly limits: MachineLimits;
  /** Bytes of live rows, history and bookkeeping beyond which `overQuota` is true. */
  readonly quotaBytes: number;
}

export interface MachineLimits {
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly operationsMax: number;
  readonly nestingMax: number;
}

/** A read that was sliced off its caller: `advance` until it returns a reply. */
export interface ReadTask {
  /** Works on at most `units` keys. Undefined: not finished. */
  advance(units: number): ReadResult | undefined;
  /** Gives the frozen root back. Idempotent; needed when the task is abandoned. */
  close(): void;
}

export type ReadResult =
  | { readonly ok: true; readonly revision: number; readonly reply: Reply }
  | {
      readonly ok: false;
      readonly revision: number;
      readonly reason:
        "compacted" | "futureRevision" | "keyEmpty" | "tooManyOperations" | "nestedTooDeep" | "keyTooLong";
      readonly compactRevision: number;
    };

/** State frozen at one revision: to be paged out to a checkpoint, a peer or a backup. Close it. */
export interface FrozenState {
  readonly revision: number;
  readonly appliedIndex: number;
  /** Encoded meta: revisions, members, founding, alarms, machine version, cluster time. */
  readonly meta: Uint8Array;
  /** Pages in key order, at most about `bytes` of them. `onlyDirty`: those changed since the last committed checkpoint. Undefined at the end. */
  nextPages(bytes: number): readonly { readonly number: number; readonly bytes: Uint8Array }[] | undefined;
  /** Page numbers that are gone since the last committed checkpoint. */
  readonly removedPages: readonly number[];
  close(): void;
}

export interface MachineStats {
  readonly revision: number;
  readonly compactRevision: number;
  readonly keys: number;
  readonly versions: number;
  /** What the quota counts. */
  readonly bytes: number;
  /** Bytes of live rows alone (etcd's dbSizeInUse). */
  readonly liveBytes: number;
}

/**
 * The replicated state machine: etcd's MVCC model in memory. Synchronous and deterministic; the same entries give the
 * same state and the same replies on every member, however the work is sliced.
 */
export declare class Machine {
  constructor(options: MachineOptions);

  /** Revision 1 in a fresh store. */
  readonly revision: number;
  /** −1 before the first compaction. */
  readonly compactRevision: number;
  readonly appliedIndex: number;
  /** Cluster time of the last applied entry, ms. */
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  /** Highest version of the state machine this code can run, and the one in force. */
  static readonly versionMax: number;
  readonly version: number;

  /**
   * Begins a command. Small ones finish in the first `advance`; a delete of a million keys takes many. Readers see the
   * state before it until it is finished. A throw means a bug: nothing of the entry is visible then.
   */
  start(context: EntryContext, command: Command): void;
  /** Works on at most `units` keys. Undefined: not finished, call again. */
  advance(units: number): Outcome | undefined;
  /** `start` and `advance` to the end. */
  apply(context: EntryContext, command: Command): Outcome;
  /** An empty or a configuration entry: moves the applied index (and the members). */
  applyEmpty(index: number): void;
  applyMembership(
    index: number,
    change: { readonly type: "addLearner" | "promote" | "remove"; readonly member: string },
    added: Member | undefined,
  ): void;

  /** Members in the order of their ids. */
  members(): readonly Member[];
  /** Whether the id was once a member and is not any more (kept for 10 000 removals). */
  isRemoved(id: string): boolean;
  readonly clusterId: string;
  readonly clusterUid: string;
  /** Founding: `complete` once as many members vote as were asked for. */
  readonly founding: {
    readonly size: number;
    readonly complete: boolean;
    readonly awaited: readonly { readonly name: string; readonly peerUrls: readonly string[] }[];
  };
  readonly alarms: readonly { readonly member: string; readonly alarm: "noSpace" }[];
  readonly overQuota: boolean;

  /** A read whose size is bounded by `limit` ≤ 1000 or a single key, at once. */
  get(key: Uint8Array, revision?: number): ReadResult;
  /** Any range, or a txn without writes, in slices. */
  read(operation: RangeOperation | Extract<Command, { type: "txn" }>): ReadTask;
  /** Whether a command only reads. */
  static isReadOnly(command: Command): boolean;
  /** Checks limits and shape before a command is proposed; the same checks are made at apply. */
  check(command: Command): Outcome | undefined;

  /**
   * Changes with a mod revision in [from, to] that touch `range`, in order; at most `units` changes are looked at.
   * `next`: where to go on; to + 1 when done. All changes of one revision come together. `from` must be > compactRevision.
   */
  changes(
    range: KeyRange,
    from: number,
    to: number,
    options: { readonly previous: boolean; readonly units: number },
  ): {
    readonly events: readonly ChangeEvent[];
    readonly previousRows: readonly (ChangeEvent["row"] | undefined)[];
    readonly next: number;
  };

  /** Physically removes what compaction made unreachable, at most `units` versions. True: nothing is left to do. */
  sweep(units: number): boolean;

  /** Order-independent hash of all reachable rows, history included: equal on members at equal revision and compact revision. In slices. */
  hash(): {
    advance(
      units: number,
    ): { readonly revision: number; readonly compactRevision: number; readonly hash: string } | undefined;
    close(): void;
  };

  freeze(options: { readonly onlyDirty: boolean }): FrozenState;
  /** The pages of this frozen state are durable now: what it held is no longer dirty. */
  checkpointed(frozen: FrozenState): void;
  /** Builds a machine from the pages and meta of a frozen state; `finish` throws CorruptPageError when they do not fit together. */
  static loader(options: MachineOptions): {
    page(number: number, bytes: Uint8Array): void;
    finish(meta: Uint8Array): Machine;
  };

  stats(): MachineStats;
  /** Throws when an internal invariant is broken. Expensive; for tests. */
  checkInvariants(): void;
}
