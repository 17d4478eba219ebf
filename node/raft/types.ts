/**
 * The vocabulary of the Raft core: what goes in, what comes out, what lies in the log.
 *
 * The core is a value that reacts. `step(input)` changes it, `ready()` takes what has to be done. It never waits,
 * never reads a clock and never fails halfway. Contract of `ready()`, as in etcd-io/raft's asynchronous storage mode:
 *
 * 1. `messages` may leave at once (the leader sends before its own fsync has finished).
 * 2. `hardState` and `entries` go to the log as one group.
 * 3. `messagesAfterPersist` leave only when that group and all before it are durable, and so does the input
 *    `persisted` with the `number` of this ready. Groups become durable in order: a report for `n` covers all before.
 *    A ready with neither `hardState` nor `entries` has an empty group, which is durable as soon as the one before is;
 *    with nothing outstanding that is at once. Its `persisted` may be left out.
 * 4. `committed` is applied in order; it never holds an entry that is not durable here, nor a configuration whose commit
 *    is not. It is bounded, so a long backlog comes in slices: apply, report `applied`, and ask again while `hasReady()`.
 * 5. `install`, `reads`, `failedReads` and `snapshotRequests` are for the shell. A read of `index` may be served when
 *    the machine has applied `index`.
 *
 * Snapshots. At the leader, each item of `snapshotRequests` is answered by the input `snapshotChunk` or
 * `snapshotUnavailable`; a request with `sequence` 0 replaces every earlier transfer to that member. At the follower,
 * each item of `install` is stored in order and answered by `chunkStored`, the last chunk by `snapshotInstalled` or
 * `snapshotFailed` instead or as well; from the last chunk until then the core hands out nothing to apply. When the shell names the new
 * state in the log, it keeps the log if `termAt(meta.index)` is `meta.term`, and starts it anew behind the snapshot
 * otherwise: that is what the core does with its own copy. Chunks with `sequence` 0 begin a new transfer; what was
 * stored of an unfinished one is dropped.
 */

/** A member's id: 16 lower-case hex digits of a random 63-bit number. Drawn with the data directory, never reused. */
export type MemberId = string;

/** Position in the log. The first entry has index 1; 0 is "before the log". */
export type Index = number;

/** Election term. 0 is "before the first election". */
export type Term = number;

/** The absence of a member (no leader known, no vote given). */
export const NONE: MemberId = "";

/** What must survive a crash before any message that depends on it leaves. */
export interface HardState {
  readonly term: Term;
  /** The candidate voted for in `term`, or `NONE`. */
  readonly vote: MemberId;
  /**
   * Entries up to here are committed, and were durable here before this was written. It may lag behind what the member
   * knows, but never for a configuration that it has applied.
   */
  readonly commit: Index;
}

/** Who takes part. A configuration takes effect when its entry is applied. */
export interface Configuration {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/** One single-step membership change. */
export interface ConfigurationChange {
  readonly type: "addLearner" | "promote" | "remove";
  readonly member: MemberId;
}

/**
 * The last entry that the sender knows to be committed; index 0 for none. Whoever has the same entry knows it too then.
 * Without a leader, votes are all that members say to each other, and somebody may wait for just that: for the members of
 * a configuration that is over, while the one that knows better has the shorter log and cannot win.
 */
export interface KnownCommit {
  readonly index: Index;
  readonly term: Term;
}

/** A log entry. `data` is opaque to the core: an encoded command, or a member's names and URLs. Empty data is the no-op a leader begins with. */
export type Entry =
  | { readonly type: "normal"; readonly index: Index; readonly term: Term; readonly data: Uint8Array }
  | {
      readonly type: "configuration";
      readonly index: Index;
      readonly term: Term;
      readonly data: Uint8Array;
      readonly change: ConfigurationChange;
    };

/** Names a state of the machine: everything up to `index` is in it. */
export interface SnapshotMeta {
  readonly index: Index;
  readonly term: Term;
  readonly configuration: Configuration;
}

/** Messages between members. All carry the sender's term, except the two pre-vote ones (see each). */
export type Message =
  | {
      readonly type: "appendRequest";
      readonly term: Term;
      readonly previousIndex: Index;
      readonly previousTerm: Term;
      readonly commit: Index;
      readonly entries: readonly Entry[];
    }
  | {
      readonly type: "appendResponse";
      readonly term: Term;
      /** Accepted: the last index known to match. Refused: the `previousIndex` of the refused request. */
      readonly index: Index;
      readonly refused: boolean;
      /** Refused: the follower's best guess where the logs agree (etcd-io/raft's rejectHint and its term). */
      readonly hintIndex: Index;
      readonly hintTerm: Term;
      /** The follower holds the log but no machine state: send it a snapshot. */
      readonly needSnapshot: boolean;
    }
  | {
      readonly type: "heartbeat";
      readonly term: Term;
      readonly commit: Index;
      /** ReadIndex round this beat confirms; 0 for none. */ readonly round: number;
    }
  | { readonly type: "heartbeatResponse"; readonly term: Term; readonly round: number; readonly needSnapshot: boolean }
  /** `preVote`: term is the term the candidate would campaign in, and nobody's term changes. */
  | {
      readonly type: "voteRequest";
      readonly term: Term;
      readonly preVote: boolean;
      readonly lastIndex: Index;
      readonly lastTerm: Term;
      /** Set by a leadership transfer: voters that still hear the leader answer too. */
      readonly transfer: boolean;
      readonly known: KnownCommit;
    }
  | {
      readonly type: "voteResponse";
      readonly term: Term;
      readonly preVote: boolean;
      readonly granted: boolean;
      readonly known: KnownCommit;
    }
  | { readonly type: "timeoutNow"; readonly term: Term }
  /** A follower asks for a read index on behalf of its clients. `context` is the follower's own number. */
  | { readonly type: "readIndexRequest"; readonly term: Term; readonly context: number }
  | {
      readonly type: "readIndexResponse";
      readonly term: Term;
      readonly context: number;
      /** 0: refused, the leader cannot confirm */ readonly index: Index;
    }
  | {
      readonly type: "snapshotChunk";
      readonly term: Term;
      /** Number of this transfer, unique at the leader in its term. */
      readonly transfer: number;
      readonly meta: SnapshotMeta;
      /** Chunks of a transfer count from 0 without gaps. */
      readonly sequence: number;
      readonly last: boolean;
      readonly data: Uint8Array;
    }
  | {
      readonly type: "snapshotResponse";
      readonly term: Term;
      readonly transfer: number;
      /** `next`: send chunk `sequence`. `installed`: the snapshot is the follower's state. `refused`: start a new transfer. */
      readonly status: "next" | "installed" | "refused";
      readonly sequence: number;
    };

/** A message and its receiver. */
export interface Outgoing {
  readonly to: MemberId;
  readonly message: Message;
}

/** Everything that can happen to a replica. */
export type Input =
  | { readonly type: "tick" }
  | { readonly type: "message"; readonly from: MemberId; readonly message: Message }
  /** The group of the `ready()` with this number, and all before it, are durable. */
  | { readonly type: "persisted"; readonly ready: number }
  /** Every entry up to `index` has been applied to the machine. */
  | { readonly type: "applied"; readonly index: Index }
  /** Asks for an index that, once applied, makes a local read linearizable. Answered in `reads` or `failedReads`. */
  | { readonly type: "readIndex"; readonly context: number }
  | { readonly type: "transferLeadership"; readonly to: MemberId }
  /** The authenticated connection from `member` ended with FIN or RST. A follower of it forgets its leader and pre-campaigns after `delayTicks` (a random 0-50 ms). */
  | { readonly type: "connectionLost"; readonly member: MemberId; readonly delayTicks: number }
  /** Messages to `member` were dropped: go back to probing. (At a leader, `connectionLost` does the same.) */
  | { readonly type: "unreachable"; readonly member: MemberId }
  /** The shell offers the chunk that `snapshotRequests` asked for. */
  | {
      readonly type: "snapshotChunk";
      readonly to: MemberId;
      readonly transfer: number;
      readonly meta: SnapshotMeta;
      readonly sequence: number;
      readonly last: boolean;
      readonly data: Uint8Array;
    }
  /** The shell cannot read the snapshot it was asked for. The core asks again later. */
  | { readonly type: "snapshotUnavailable"; readonly to: MemberId; readonly transfer: number }
  /** The follower's shell stored a chunk that `install` handed to it, and wants the next. */
  | { readonly type: "chunkStored"; readonly transfer: number; readonly sequence: number }
  /** The whole snapshot is verified, durable and named in the log: it is the state now. */
  | { readonly type: "snapshotInstalled"; readonly transfer: number; readonly meta: SnapshotMeta }
  | { readonly type: "snapshotFailed"; readonly transfer: number }
  /** Campaign now, beginning with a pre-vote. Nothing happens where this member may not lead. */
  | { readonly type: "campaign" };

/** What a `ready()` asks the shell to do. */
export interface Ready {
  /** Counts from 1. Given back in the input `persisted`. */
  readonly number: number;
  readonly hardState: HardState | undefined;
  /** To append. When the first index is not behind the log's end, the log is cut there first. */
  readonly entries: readonly Entry[];
  readonly messages: readonly Outgoing[];
  readonly messagesAfterPersist: readonly Outgoing[];
  readonly committed: readonly Entry[];
  readonly reads: readonly { readonly context: number; readonly index: Index }[];
  /** Reads that were abandoned: no leader, leader changed, or not confirmed in time. */
  readonly failedReads: readonly {
    readonly context: number;
    readonly reason: "noLeader" | "leaderChanged" | "timeout";
  }[];
  /** Leader: chunks to read from a frozen state and to offer by `snapshotChunk`. The shell picks the state when `sequence` is 0. */
  readonly snapshotRequests: readonly { readonly to: MemberId; readonly transfer: number; readonly sequence: number }[];
  /** Follower: chunks to store, in order. */
  readonly install: readonly {
    readonly from: MemberId;
    readonly transfer: number;
    readonly meta: SnapshotMeta;
    readonly sequence: number;
    readonly last: boolean;
    readonly data: Uint8Array;
  }[];
}

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

/** What the outside may know. Cheap to take, made of copies. */
export interface Status {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: MemberId;
  readonly leader: MemberId;
  readonly commit: Index;
  readonly applied: Index;
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  readonly configuration: Configuration;
  /** Leader only: the peer to which leadership is being handed, or `NONE`. */
  readonly transferee: MemberId;
  /** True from the moment the leader has committed an entry of its own term. */
  readonly committedInTerm: boolean;
  /** A configuration entry is in the log and not applied. */
  readonly configurationPending: boolean;
  readonly peers: readonly PeerStatus[];
}

/** Leader's view of one peer. */
export interface PeerStatus {
  readonly id: MemberId;
  readonly learner: boolean;
  readonly match: Index;
  readonly next: Index;
  readonly state: "probe" | "replicate" | "snapshot";
  /** Heard from within an election timeout. CheckQuorum counts these. */
  readonly active: boolean;
  /** The match stayed within `promotionLagEntries` of the commit index for one election timeout. */
  readonly caughtUp: boolean;
}

/** Why a proposal was not taken. Nothing has happened then. */
export type Refusal =
  | "notLeader"
  | "transferring"
  | "tooManyUncommitted"
  /** A change is refused before the leader has committed in its own term (Ongaro 2015). */
  | "notCommittedInTerm"
  | "configurationPending"
  | "unknownMember"
  | "alreadyMember"
  | "notLearner"
  | "learnerBehind"
  /** The change would leave fewer live voters than a quorum. */
  | "wouldLoseQuorum"
  | "lastVoter";

export type ProposeResult =
  | { readonly ok: true; readonly term: Term; readonly firstIndex: Index; readonly lastIndex: Index }
  | { readonly ok: false; readonly reason: Refusal };
