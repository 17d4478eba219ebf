/**
 * What a session says, as values. The operations and their replies are those of the state machine
 * (node/machine/commands.ts), field for field: a server hands them on as they come.
 */
import { type ErrorCode } from "../errors.ts";

/** `rangeEnd` empty = only `key`; one zero byte = everything from `key` on; else [key, rangeEnd). */
export interface KeyRange {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

export interface PutOperation {
  readonly type: "put";
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** 0 = none. */
  readonly lease: bigint;
  readonly previous: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
  /** How long the row lives; left out, it has no end. */
  readonly ttlMs?: number;
  /** What the value is, as a media type: printable ASCII. Left out, nothing is said. */
  readonly contentType?: string;
}

/** Sets how long a row lives from now on, and changes nothing else: no revision, no event. */
export interface TouchOperation {
  readonly type: "touch";
  readonly key: Uint8Array;
  /** 0 = without end. */
  readonly ttlMs: number;
}

export const SORT_TARGETS = ["key", "version", "create", "mod", "value"] as const;
export type SortTarget = (typeof SORT_TARGETS)[number];
export const SORT_ORDERS = ["none", "ascend", "descend"] as const;
export type SortOrder = (typeof SORT_ORDERS)[number];

export interface RangeOperation extends KeyRange {
  readonly type: "range";
  /** 0 = no limit. */
  readonly limit: number;
  /** 0 = the newest. */
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

/** What became of one key since the last compaction, newest first. */
export interface HistoryOperation {
  readonly type: "history";
  readonly key: Uint8Array;
  /** Changes from this revision on. 0: all that compaction has left, the row as it was then included. */
  readonly fromRevision: number;
  /** Up to this revision; 0 = the newest. */
  readonly toRevision: number;
  /** 0 = no limit. */
  readonly limit: number;
}

export const COMPARE_RESULTS = ["equal", "greater", "less", "notEqual"] as const;
export type CompareResult = (typeof COMPARE_RESULTS)[number];
export const COMPARE_TARGETS = ["version", "create", "mod", "value", "lease"] as const;

export type Compare = KeyRange & { readonly result: CompareResult } & (
    | { readonly target: "version" | "create" | "mod"; readonly operand: number }
    | { readonly target: "lease"; readonly operand: bigint }
    | { readonly target: "value"; readonly operand: Uint8Array }
  );

/** A row as a reader sees it. */
export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** 0 = none. */
  readonly lease: bigint;
  /** What was left of its time when it was read, ms; absent from a row without an end, and from one that is history. */
  readonly ttlMs?: number;
  /** Absent when the put named none. */
  readonly contentType?: string;
}

/** What an operation gives. */
export type OperationReply =
  | { readonly type: "put"; readonly previous: KeyValue | undefined }
  | { readonly type: "range"; readonly rows: readonly KeyValue[]; readonly count: number; readonly more: boolean }
  | { readonly type: "delete"; readonly deleted: number; readonly previous: readonly KeyValue[] }
  /** False: there is no such row. */
  | { readonly type: "touch"; readonly touched: boolean }
  | { readonly type: "txn"; readonly succeeded: boolean; readonly replies: readonly OperationReply[] };

/** Everything that has one answer. */
export type SessionRequest =
  | Operation
  | HistoryOperation
  | { readonly type: "compact"; readonly revision: number }
  /** `id` 0 has one chosen. */
  | { readonly type: "leaseGrant"; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly type: "leaseRevoke"; readonly id: bigint }
  | { readonly type: "leaseKeepAlive"; readonly id: bigint }
  | { readonly type: "leaseTimeToLive"; readonly id: bigint; readonly keys: boolean }
  | { readonly type: "leases" }
  /** On a lease of the caller's, or (`lease` 0) on one that is granted for it. */
  | {
      readonly type: "lock";
      readonly name: string;
      readonly lease: bigint;
      readonly ttlSeconds: number;
      readonly waitMs: number;
    }
  | { readonly type: "unlock"; readonly name: string; readonly lease: bigint }
  /** What became of the write with this idempotency key. */
  | { readonly type: "writeRevision"; readonly key: Uint8Array }
  | { readonly type: "status" };

export const READ_LEVELS = ["strong", "leader", "eventual"] as const;
export type ReadLevel = (typeof READ_LEVELS)[number];

/** How a request is carried out. */
export interface RequestSettings {
  /** Of a read. @default strong */
  readonly level?: ReadLevel | undefined;
  /** Of an eventual read: nothing older than this revision. */
  readonly minRevision?: number | undefined;
  /** Of an eventual read: everything is seen that was acknowledged this long before. */
  readonly maxStalenessMs?: number | undefined;
  /** Of a write, 1 to 255 bytes: it is applied once, however often it is sent. */
  readonly idempotencyKey?: Uint8Array | undefined;
  /** Milliseconds until the server gives up. @default 5000 */
  readonly timeoutMs?: number | undefined;
}

export interface WatchRequest extends KeyRange {
  /** First revision wanted; 0 = from the next change on. */
  readonly startRevision: number;
  readonly previous: boolean;
  readonly filterPut: boolean;
  readonly filterDelete: boolean;
  /** The changes of a large revision may come in several messages. */
  readonly fragment: boolean;
}

/** From a client. `id` names the request or the watch; hello has 0. */
export type ClientMessage =
  | { readonly type: "hello"; readonly id: number; readonly version: number }
  | {
      readonly type: "request";
      readonly id: number;
      readonly request: SessionRequest;
      readonly settings: RequestSettings;
    }
  | { readonly type: "watch"; readonly id: number; readonly watch: WatchRequest }
  /** Ends a watch, or the wait for an answer. */
  | { readonly type: "cancel"; readonly id: number }
  /** Asks a watch how far it has come. */
  | { readonly type: "progress"; readonly id: number };

/** State of the member at the other end. */
export interface SessionStatus {
  readonly state: string;
  /** 16 hex digits each; empty for none. */
  readonly clusterId: string;
  readonly memberId: string;
  readonly leaderId: string;
  readonly memberName: string;
  readonly role: string;
  readonly version: string;
  readonly term: number;
  readonly compactRevision: number;
  readonly databaseBytes: number;
  readonly keys: number;
  readonly leases: number;
  readonly alarms: readonly string[];
}

/** What a request gives. */
export type SessionReply =
  | OperationReply
  /** From the newest to the oldest; version 0 marks a delete. */
  | { readonly type: "history"; readonly rows: readonly KeyValue[]; readonly more: boolean }
  | { readonly type: "compact" }
  | { readonly type: "leaseGrant"; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly type: "leaseRevoke"; /** Keys that went with it. */ readonly deleted: number }
  /** 0 for a lease that is not there. */
  | { readonly type: "leaseKeepAlive"; readonly ttlSeconds: number }
  | {
      readonly type: "leaseTimeToLive";
      /** Undefined: the lease is not there. */
      readonly ttlSeconds: number | undefined;
      readonly grantedSeconds: number;
      readonly keys: readonly Uint8Array[];
    }
  | { readonly type: "leases"; readonly ids: readonly bigint[] }
  | { readonly type: "lock"; readonly key: Uint8Array; readonly lease: bigint; readonly fencingToken: number }
  | { readonly type: "unlock"; readonly deleted: number }
  /** Undefined: none was applied so far, or it is forgotten. */
  | { readonly type: "writeRevision"; readonly writtenAt: number | undefined }
  | { readonly type: "status"; readonly status: SessionStatus };

/** What the answer to a read is worth. */
export interface Freshness {
  /** As it was read; stronger than asked for where that was not enough. */
  readonly level: ReadLevel;
  readonly term: number;
  /** What was acknowledged longer ago is seen. Undefined: not known. */
  readonly stalenessMs: number | undefined;
}

export interface Change {
  readonly type: "put" | "delete";
  readonly row: KeyValue;
  readonly previous: KeyValue | undefined;
}

export const WATCH_ENDS = ["cancelled", "compacted", "slow", "stopped"] as const;
export type WatchEnd = (typeof WATCH_ENDS)[number];

/** What a server allows a session. */
export interface SessionLimits {
  readonly frameBytesMax: number;
  readonly requestsMax: number;
  readonly watchesMax: number;
}

/** From a server; `id` is that of the request or watch. */
export type ServerMessage =
  | {
      readonly type: "welcome";
      readonly id: number;
      readonly version: number;
      readonly clusterId: string;
      readonly memberId: string;
      readonly revision: number;
      readonly limits: SessionLimits;
    }
  | {
      readonly type: "answer";
      readonly id: number;
      /** Of the store after a write, or that a read was made at. */
      readonly revision: number;
      readonly reply: SessionReply;
      /** The write was applied before, at `revision`. */
      readonly replayed: boolean;
      readonly freshness: Freshness | undefined;
    }
  | {
      readonly type: "error";
      /** 0: the session ends with it. */
      readonly id: number;
      readonly code: ErrorCode;
      readonly message: string;
      readonly revision: number;
      readonly compactRevision: number;
    }
  /** The watch began; `revision` is that of the store. */
  | { readonly type: "watching"; readonly id: number; readonly revision: number }
  /** All changes of one or more revisions, or with `fragment` a part of one that is not the last. */
  | {
      readonly type: "changes";
      readonly id: number;
      readonly revision: number;
      readonly fragment: boolean;
      readonly changes: readonly Change[];
    }
  /** Everything up to `revision` was delivered. */
  | { readonly type: "progress"; readonly id: number; readonly revision: number }
  | {
      readonly type: "ended";
      readonly id: number;
      readonly reason: WatchEnd;
      /** Where a new watch goes on without a gap; of a compacted one, where history begins. */
      readonly nextRevision: number;
    };

export type AnswerMessage = Extract<ServerMessage, { readonly type: "answer" }>;
export type ErrorMessage = Extract<ServerMessage, { readonly type: "error" }>;
