import { type CoreOptions } from "./config.ts";
import { RaftLog } from "./log.ts";
import { isMember, isVoter } from "./membership.ts";
import { type Progress } from "./progress.ts";
import { ForwardedReads, type ReadRounds } from "./read-index.ts";
import { type SnapshotReceiver } from "./snapshot.ts";
import {
  type Configuration,
  type Index,
  type MemberId,
  type Message,
  NONE,
  type Outgoing,
  type Ready,
  type Role,
  type Term,
} from "./types.ts";

/** Highest term that is believed. Leaves room to count on, and keeps a forged term from ending the numbers. */
export const TERM_MAX: Term = 2 ** 52;

// Where the numbers of forwarded reads begin: a random multiple, so that no number returns after a restart.
const FORWARD_EPOCHS = 2 ** 30;
const FORWARDS_PER_EPOCH = 2 ** 20;

/** What only a leader has. Made when it takes office, dropped when it leaves. */
export interface Leadership {
  /** Every other member of the applied configuration. */
  readonly peers: Map<MemberId, Progress>;
  readonly reads: ReadRounds;
  /** Tick at which the term began. */
  readonly since: number;
  /** Bytes of the entries behind the commit index. */
  uncommittedBytes: number;
  /** Target of a transfer under way, or `NONE`. */
  transferee: MemberId;
  transferDeadline: number;
  /** `timeoutNow` was sent to the target. */
  transferSent: boolean;
  /** Number of the last snapshot transfer. */
  lastTransfer: number;
  /** Peers may have something to be sent. Looked at once per `ready()`, so that one message carries a whole turn. */
  appendsDue: boolean;
}

/** The mutable state of a core, shared by the files that hold the roles. Only `core.ts` hands it out. */
export class CoreState {
  readonly options: CoreOptions;
  readonly id: MemberId;
  readonly log: RaftLog;
  term: Term;
  vote: MemberId;
  role: Role = "follower";
  /** The leader of `term`, or `NONE`. */
  leader: MemberId = NONE;
  configuration: Configuration;
  /** See `CoreOptions.machineMissing`. True as well while nothing is known about the cluster. */
  machineMissing: boolean;
  /** The hard state that survives a crash. Never ahead of `term` and `vote`. */
  durableTerm: Term;
  durableVote: MemberId;

  /** Ticks since the start. */
  now = 0;
  /** Ticks since the leader was heard, a vote was given or a campaign began. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** The timeout drawn for this wait: between one and two election timeouts. */
  electionTimeout: number;
  /** The connection from the leader is lost: ticks until the pre-vote. 0 when it is not. */
  campaignDelay = 0;

  /** Answers to our campaign. */
  readonly votes = new Map<MemberId, boolean>();
  leadership: Leadership | undefined;
  /** A snapshot that is being installed here. */
  receiving: SnapshotReceiver | undefined;
  readonly forwarded: ForwardedReads;

  messages: Outgoing[] = [];
  messagesAfterPersist: Outgoing[] = [];
  reads: Ready["reads"][number][] = [];
  failedReads: Ready["failedReads"][number][] = [];
  snapshotRequests: Ready["snapshotRequests"][number][] = [];
  install: Ready["install"][number][] = [];

  constructor(options: CoreOptions) {
    const { hardState, snapshot, entries, applied, configuration } = options.recovered;
    this.options = options;
    this.id = options.id;
    this.log = new RaftLog(snapshot, entries, applied, hardState.commit);
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.durableTerm = hardState.term;
    this.durableVote = hardState.vote;
    this.configuration = configuration;
    // A member that waits to be added has no state either. The log alone would not give it one: the founders are named in
    // no entry, only in snapshots.
    this.machineMissing = options.machineMissing || configuration.voters.length === 0;
    this.forwarded = new ForwardedReads(options.random(FORWARD_EPOCHS) * FORWARDS_PER_EPOCH + 1);
    this.electionTimeout = 0;
    this.restartElectionTimer();
  }

  restartElectionTimer(): void {
    this.electionElapsed = 0;
    this.campaignDelay = 0;
    this.electionTimeout = this.options.electionTimeoutTicks + this.options.random(this.options.electionTimeoutTicks);
  }

  /** May leave at once. */
  send(to: MemberId, message: Message): void {
    this.messages.push({ to, message });
  }

  /** Leaves when the group of the next `ready()` is durable. */
  sendAfterPersist(to: MemberId, message: Message): void {
    this.messagesAfterPersist.push({ to, message });
  }

  /** An answer that vouches for our term and vote, and for the log up to `index`: it leaves when these are durable. */
  reply(to: MemberId, message: Message, index: Index = 0): void {
    if (this.hardStateIsDurable() && index <= this.log.durable) this.send(to, message);
    else this.sendAfterPersist(to, message);
  }

  hardStateIsDurable(): boolean {
    return this.durableTerm === this.term && this.durableVote === this.vote;
  }

  isVoter(member: MemberId): boolean {
    return isVoter(this.configuration, member);
  }

  isMember(member: MemberId): boolean {
    return isMember(this.configuration, member);
  }

  /**
   * Whether this member may become leader. Not while a committed configuration entry waits to be applied: it would
   * count votes by a configuration that is over. (An uncommitted one must not keep it: if all that hold the newest log
   * waited for its commit, nobody could commit it.)
   */
  isPromotable(): boolean {
    const pending = this.log.unappliedConfiguration;
    return (
      this.isVoter(this.id) &&
      !this.machineMissing &&
      this.receiving === undefined &&
      (pending === undefined || pending > this.log.commit)
    );
  }
}
