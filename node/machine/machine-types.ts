import { type Bytes, type ReadReply } from "./commands.ts";
import { type MachineLimits } from "./limits.ts";

/** The leader's two stamps on an entry (D9), and its place in the log. */
export interface EntryContext {
  readonly index: number;
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  readonly idempotency?: Idempotency | undefined;
}

/**
 * Names a write, so that its retry is recognised (D7). Digests are cryptographic and made by whoever proposes it, who also
 * says the limits: so all members judge by the same.
 */
export interface Idempotency {
  /** Digest of the key, 16 bytes. */
  readonly key: Bytes;
  /** Digest of the actor and the command, 8 bytes: the same key for something else is a conflict. */
  readonly request: Bytes;
  /** How long a retry is recognised, in the cluster's time. */
  readonly ttlMs: number;
  /** All records together; beyond it new keys are refused. */
  readonly budgetBytes: number;
}

export interface MachineOptions {
  /** What `check` refuses. Apply refuses `LIMIT_CEILINGS`. */
  readonly limits: MachineLimits;
  /** Bytes of live rows, history and bookkeeping beyond which `overQuota` is true. */
  readonly quotaBytes: number;
}

/** A read that was sliced off its caller: `advance` until it returns a reply. */
export interface ReadTask {
  /** Works on at most `units` keys. Undefined: not finished. */
  advance(units: number): ReadResult | undefined;
  /** Gives the frozen root back. Idempotent; needed when the task is abandoned. */
  close(): void;
}

export type ReadResult =
  | { readonly ok: true; readonly revision: number; readonly reply: ReadReply }
  | {
      readonly ok: false;
      readonly revision: number;
      readonly reason:
        | "compacted"
        | "futureRevision"
        | "keyEmpty"
        | "tooManyOperations"
        | "nestedTooDeep"
        | "keyTooLong"
        | "numberInvalid";
      readonly compactRevision: number;
    };

/** A page of the machine's state: a leaf of its tree, under a number that the leaf keeps for life. */
export interface PageBytes {
  readonly number: number;
  readonly bytes: Bytes;
}

/** State frozen at one revision: to be paged out to a checkpoint, a peer or a backup. Close it. */
export interface FrozenState {
  readonly revision: number;
  readonly appliedIndex: number;
  /** Encoded meta: revisions, members, founding, alarms, machine version, cluster time. */
  readonly meta: Uint8Array;
  /** Pages in key order, at most about `bytes` of them. `onlyDirty`: those changed since the last committed checkpoint. Undefined at the end. */
  nextPages(bytes: number): readonly PageBytes[] | undefined;
  /** Page numbers that are gone since the last committed checkpoint. */
  readonly removedPages: readonly number[];
  close(): void;
}

/** Builds a machine from the pages and meta of a frozen state. */
export interface MachineLoader<M> {
  /** Takes a page, in any order. @throws CorruptPageError */
  page(number: number, bytes: Uint8Array): void;
  /** @throws CorruptPageError when pages and meta do not fit together. */
  finish(meta: Uint8Array): M;
}

/** The same for a state that becomes that of a new cluster; its meta was given. */
export interface MachineRestorer<M> extends Pick<MachineLoader<M>, "page"> {
  /** @throws CorruptPageError when pages and meta do not fit together. */
  finish(): M;
}

/** The hash of one revision of the store, in slices. */
export interface HashTask {
  /** Works on at most `units` versions. Undefined: not finished. */
  advance(
    units: number,
  ): { readonly revision: number; readonly compactRevision: number; readonly hash: string } | undefined;
  close(): void;
}

export interface MachineStats {
  readonly revision: number;
  readonly compactRevision: number;
  readonly keys: number;
  readonly versions: number;
  /** What the quota counts. */
  readonly bytes: number;
  readonly leases: number;
  /** Idempotency keys that are remembered, and the bytes they count for. */
  readonly records: number;
  readonly recordBytes: number;
  /** Bytes of live rows alone (etcd's dbSizeInUse). */
  readonly liveBytes: number;
}
