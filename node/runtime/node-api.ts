/**
 * What the services (and through them every door) see of a running member. `Replica` implements it; nothing above the
 * runtime reaches further down.
 */
import {
  type Command,
  type Member,
  type Outcome,
  type ChangeEvent,
  type KeyRange,
  type ReadOperation,
} from "../machine/commands.ts";
import { type Idempotency, type Lease, type ReadResult } from "../machine/machine.ts";
import { type NodeHandle } from "../observability/events.ts";

export interface RequestOptions {
  /** Ends the wait. A write that was proposed by then is `CONCORD_OUTCOME_UNKNOWN`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the request gives up. @default 5000 */
  readonly timeoutMs?: number | undefined;
}

export interface ProposeOptions extends RequestOptions {
  /** Recognises a retry of the command, whoever proposed it first. */
  readonly idempotency?: Idempotency | undefined;
}

/**
 * `leader` and `strong` are linearizable: leadership is confirmed by a quorum round that starts after the request. A
 * follower that is asked for `leader` answers as `strong`, and says so. `eventual` reads what is here.
 */
export type ReadLevel = "eventual" | "leader" | "strong";

/** What an `eventual` read must hold to; where it does not by itself, it is confirmed as a `strong` one is. */
export interface ReadOptions extends RequestOptions {
  /** Nothing older than this revision, as that of an earlier answer: a client never sees time go back. */
  readonly minRevision?: number | undefined;
  /** Everything is seen that was acknowledged this long before the read. */
  readonly maxStalenessMs?: number | undefined;
}

/** What an answer is worth. */
export interface Freshness {
  /** As it was read; `strong` where `eventual` was not enough, or where a follower was asked for `leader`. */
  readonly level: ReadLevel;
  readonly term: number;
  /** What was acknowledged longer ago is seen. Undefined: not known, this member confirmed no read yet. */
  readonly stalenessMs: number | undefined;
}

export type ReadAnswer = ReadResult & { readonly freshness: Freshness };

export interface WatchRequest extends KeyRange {
  /** First revision wanted; 0 = from the next change on. */
  readonly startRevision: number;
  readonly previous: boolean;
  readonly filterPut: boolean;
  readonly filterDelete: boolean;
}

export interface WatchBatch {
  /** Complete revisions only. Empty: a progress mark, everything up to `revision` was delivered. */
  readonly events: readonly { readonly event: ChangeEvent; readonly previous: ChangeEvent["row"] | undefined }[];
  readonly revision: number;
}

/** A running watch. Pull, so that a slow reader holds its own memory alone. */
export interface Watch {
  /** Revision of the store when the watch began. */
  readonly startedAt: number;
  /** The next batch; waits for one. Undefined: ended, see `end`. */
  next(): Promise<WatchBatch | undefined>;
  /** Revision up to which this watch has delivered everything. */
  readonly deliveredRevision: number;
  readonly end:
    undefined | { readonly reason: "cancelled" | "compacted" | "stopped"; readonly compactRevision: number };
  cancel(): void;
}

/** What a door may know about the member. */
export interface NodeInfo {
  readonly state: "waiting" | "founding" | "running" | "recovering" | "removed" | "failed";
  /** 16 hex digits each. */
  readonly clusterId: string;
  readonly clusterUid: string;
  readonly memberId: string;
  readonly memberName: string;
  readonly leaderId: string;
  /**
   * From the configuration that this member has applied, as `members`: the leader may have applied a newer one. `learner`
   * also while that configuration does not contain this member yet.
   */
  readonly role: "follower" | "preCandidate" | "candidate" | "leader" | "learner";
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: number;
  readonly compactRevision: number;
  readonly machineVersion: number;
  readonly databaseBytes: number;
  readonly databaseBytesInUse: number;
  /** Live ones. */
  readonly keys: number;
  readonly leases: number;
  /** With a time to live. */
  readonly rowsWithEnd: number;
  /** Writes of this member's clients, and those handed to it, that have no outcome yet. */
  readonly pendingWrites: number;
  /** Idempotency keys that are remembered, and the bytes they count for. */
  readonly idempotencyKeys: number;
  readonly idempotencyBytes: number;
  readonly alarms: readonly { readonly member: string; readonly alarm: "noSpace" }[];
  readonly members: readonly (Member & {
    readonly matchIndex: number;
    readonly active: boolean;
    readonly caughtUp: boolean;
  })[];
}

/** What every answer says of the member that gives it. */
export type NodeHeader = Pick<NodeInfo, "clusterId" | "memberId" | "leaderId" | "role" | "term" | "revision">;

/** All methods reject with ConcordError only. */
export interface NodeApi {
  /** Whose events those of this node are. */
  readonly handle: NodeHandle;
  /** Makes copies; a request that needs no more than the header asks for that. */
  info(): NodeInfo;
  header(): NodeHeader;
  /** Proposes here or forwards to the leader once. Resolves with the machine's outcome, refusals included. */
  propose(command: Command, options?: ProposeOptions): Promise<Outcome>;
  /** Grants a lease; `id` 0 has one chosen. */
  grantLease(id: bigint, ttlSeconds: number, options?: ProposeOptions): Promise<Outcome>;
  /** Renews a lease for the time it was granted for. Renewals that come together share an entry of the log. */
  renewLease(id: bigint, options?: RequestOptions): Promise<Outcome>;
  /** What this member knows; in the order of their ids. */
  leases(): readonly Lease[];
  /** A range, a read-only txn, or the history of a key. `eventual` without a signal to wait for resolves at once. */
  read(operation: ReadOperation, level: ReadLevel, options?: ReadOptions): Promise<ReadAnswer>;
  /** Synchronous local read of one key. */
  getLocal(key: Uint8Array, revision?: number): ReadResult;
  /**
   * Revision of the write that had this idempotency key (its digest), as far as this member knows; undefined when it has
   * none, or has forgotten it.
   */
  writeRevision(key: Uint8Array): number | undefined;
  /** Resolves when a local read is linearizable. */
  barrier(options?: RequestOptions): Promise<void>;
  watch(request: WatchRequest): Watch;
  grant(request: { readonly clusterId: string; readonly clusterUid: string; readonly size: number }): Promise<void>;
  /** Empty `name`: whichever the waiting member has. */
  addLearner(
    request: { readonly name: string; readonly peerUrls: readonly string[] },
    options?: RequestOptions,
  ): Promise<readonly Member[]>;
  promote(id: string, options?: RequestOptions): Promise<readonly Member[]>;
  remove(id: string, options?: RequestOptions): Promise<readonly Member[]>;
  /** Hands leadership over; resolves with the new leader's id. Empty `to`: the voter that is furthest. */
  transfer(to: string, options?: RequestOptions): Promise<string>;
  /**
   * Of this member's state as of a revision; 0 = the newest it has.
   *
   * @throws ConcordError `CONCORD_COMPACTED`, `CONCORD_FUTURE_REVISION`.
   */
  hash(
    revision: number,
    options?: RequestOptions,
  ): Promise<{ readonly revision: number; readonly compactRevision: number; readonly hash: string }>;
  /** Pages of a frozen state, framed and checksummed (codec/snapshot.ts), for backups. */
  snapshot(): AsyncIterable<Uint8Array>;
  /** Resolves when the member serves: linearizable reads work and the founding is complete. */
  ready(options?: RequestOptions): Promise<void>;
}
