/**
 * What the log carries, after decoding: one command an entry, and the reply that applying it gives. The operations are
 * etcd's (D2); `codec/command.ts` turns them to bytes and back.
 */

/** Raw bytes, compared as raw bytes. */
export type Bytes = Uint8Array;

/** Which keys: `rangeEnd` empty = only `key`; one zero byte = everything from `key` on; else [key, rangeEnd). */
export interface KeyRange {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
}

export interface PutOperation extends KeyOnly {
  readonly type: "put";
  readonly value: Bytes;
  /** 0 = none. */
  readonly lease: bigint;
  readonly previous: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
  /** How long the row lives, ms of the cluster's time; left out, it has no end. */
  readonly ttlMs?: number;
  /** What the value is, as a media type: printable ASCII, at most `CONTENT_TYPE_MAX` characters. Left out, nothing is said. */
  readonly contentType?: string;
}

/** Sets how long a row lives from now on, and changes nothing else: no revision, no event. */
export interface TouchOperation extends KeyOnly {
  readonly type: "touch";
  /** 0 = without end. */
  readonly ttlMs: number;
}

interface KeyOnly {
  readonly key: Bytes;
}

export type SortTarget = "key" | "version" | "create" | "mod" | "value";
export type SortOrder = "none" | "ascend" | "descend";

export interface RangeOperation extends KeyRange {
  readonly type: "range";
  /** 0 = no limit. */
  readonly limit: number;
  /** 0 = the current revision. */
  readonly revision: number;
  readonly sortTarget: SortTarget;
  readonly sortOrder: SortOrder;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** 0 = not set, for all four. */
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export interface DeleteOperation extends KeyRange {
  readonly type: "delete";
  readonly previous: boolean;
}

export interface TxnOperation {
  readonly type: "txn";
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export type Operation = PutOperation | RangeOperation | DeleteOperation | TouchOperation | TxnOperation;

/** What became of one key since the last compaction, newest first. No command: only a member's memory is asked. */
export interface HistoryOperation extends KeyOnly {
  readonly type: "history";
  /** Changes from this revision on. 0: all that compaction has left, the row as it was then included. */
  readonly fromRevision: number;
  /** Up to this revision; 0 = the newest. */
  readonly toRevision: number;
  /** 0 = no limit. */
  readonly limit: number;
}

/** What can be asked without the log. A txn among them has no writes. */
export type ReadOperation = RangeOperation | TxnOperation | HistoryOperation;

export type CompareResult = "equal" | "greater" | "less" | "notEqual";

export type Compare = KeyRange & {
  readonly result: CompareResult;
} & (
    | { readonly target: "version" | "create" | "mod"; readonly operand: number }
    | { readonly target: "lease"; readonly operand: bigint }
    | { readonly target: "value"; readonly operand: Bytes }
  );

/** A member as clients and operators see it. */
export interface Member {
  /** 16 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly learner: boolean;
  /** It was heard of as running at least once (it published its client URLs). */
  readonly joined: boolean;
}

/** How the cluster was founded; the first command of its log. */
export interface FoundCommand {
  readonly type: "found";
  /** 16 hex digits. */
  readonly clusterId: string;
  /** Unique id given by the founder's environment (the custom resource's UID), or empty. */
  readonly clusterUid: string;
  /** No client write is accepted before this many members vote. */
  readonly size: number;
  readonly founder: Member;
  /** The other members of the founding list, still to be added. */
  readonly awaited: readonly { readonly name: string; readonly peerUrls: readonly string[] }[];
}

export type Command =
  | Operation
  | { readonly type: "compact"; readonly revision: number }
  | FoundCommand
  /** A member tells its name and URLs (at its start, and when they change). */
  | {
      readonly type: "publish";
      readonly member: string;
      readonly name: string;
      readonly peerUrls: readonly string[];
      readonly clientUrls: readonly string[];
    }
  /** Sets or clears the NOSPACE alarm of a member. */
  | { readonly type: "alarm"; readonly action: "set" | "clear"; readonly alarm: "noSpace"; readonly member: string }
  /** `id` is not 0: whoever proposes it has chosen one. The shortest time is 2 s, see `LEASE_TTL_MIN_SECONDS`. */
  | { readonly type: "leaseGrant"; readonly id: bigint; readonly ttlSeconds: number }
  /** Takes the lease and its keys away. */
  | { readonly type: "leaseRevoke"; readonly id: bigint }
  /** Renewals that came together. */
  | { readonly type: "leaseKeepAlive"; readonly ids: readonly bigint[] }
  /** The leader saw that the lease has ended. Does nothing when it was renewed in between (D9). */
  | { readonly type: "leaseExpire"; readonly id: bigint; readonly deadlineMs: number }
  /** The leader saw that rows have ended, in the order of their keys. Those whose end has moved stay (D9). */
  | { readonly type: "expireRows"; readonly rows: readonly { readonly key: Bytes; readonly endMs: number }[] }
  /** A read; in the log, because only an entry knows the cluster's time. */
  | { readonly type: "leaseTimeToLive"; readonly id: bigint; readonly keys: boolean }
  /** Nothing but its stamps: cluster time goes on although nobody writes. */
  | { readonly type: "advanceTime" }
  /** Raises the state machine's version; every voter supports it. */
  | { readonly type: "raiseVersion"; readonly version: number };

/** A row as a reader sees it. */
export interface KeyValue {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
  /** What was left of its time when it was read, ms; absent from a row without an end, and from one that is history. */
  readonly ttlMs?: number;
  /** Absent when the put named none. */
  readonly contentType?: string;
}

export type Reply =
  | { readonly type: "put"; readonly previous: KeyValue | undefined }
  | { readonly type: "range"; readonly rows: readonly KeyValue[]; readonly count: number; readonly more: boolean }
  | { readonly type: "delete"; readonly deleted: number; readonly previous: readonly KeyValue[] }
  /** False: there is no such row. */
  | { readonly type: "touch"; readonly touched: boolean }
  | { readonly type: "txn"; readonly succeeded: boolean; readonly replies: readonly Reply[] }
  | { readonly type: "compact" }
  | { readonly type: "leaseGrant"; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly type: "leaseRevoke"; /** Keys that went with it. */ readonly deleted: number }
  /** Seconds for each id of the command; 0 for a lease that is not there. */
  | { readonly type: "leaseKeepAlive"; readonly ttls: readonly number[] }
  | {
      readonly type: "leaseTimeToLive";
      /** What is left; −1 for a lease that is not there. */
      readonly ttlSeconds: number;
      readonly grantedSeconds: number;
      /** In order; empty unless they were asked for. */
      readonly keys: readonly Bytes[];
    }
  | { readonly type: "ok" };

/** `rows` from the newest to the oldest; version 0 (and createRevision 0) marks a delete. */
export interface HistoryReply {
  readonly type: "history";
  readonly rows: readonly KeyValue[];
  readonly more: boolean;
}

export type ReadReply = Reply | HistoryReply;

/** Why the machine refused a command. Nothing was applied. Expected outcomes, so they are values. */
export type RefusedReason =
  | "keyEmpty"
  | "keyTooLong"
  | "valueTooLong"
  | "tooManyOperations"
  | "nestedTooDeep"
  | "duplicateKey"
  | "keyNotFound"
  | "leaseNotFound"
  | "leaseProvided"
  | "valueProvided"
  | "contentTypeInvalid"
  | "compacted"
  | "futureRevision"
  | "noSpace"
  | "founding"
  | "notFounded"
  | "alreadyFounded"
  | "unknownMember"
  | "unknownVersion"
  | "leaseExists"
  | "leaseTtlTooLarge"
  | "tooManyLeases"
  | "ttlTooLarge"
  /** No whole number between −(2^53 − 1) and 2^53 − 1. */
  | "numberInvalid"
  /** Another request had the same idempotency key. */
  | "idempotencyConflict"
  /** No room for another idempotency key. */
  | "tooManyRecords";

export type Outcome =
  | {
      readonly ok: true;
      /** The store's revision after the command. */ readonly revision: number;
      readonly reply: Reply;
      /** The command was applied at an earlier attempt: the revision is of then, and rows compacted since are left out. */
      readonly replayed?: true;
    }
  | {
      readonly ok: false;
      readonly revision: number;
      readonly reason: RefusedReason;
      /** For `compacted`. */ readonly compactRevision: number;
    };

/** One change, as watchers see it. `row.version` 0 (and createRevision 0) marks a delete. */
export interface ChangeEvent {
  readonly type: "put" | "delete";
  readonly row: KeyValue;
  /** Order within one revision, from 0. */
  readonly sub: number;
}
