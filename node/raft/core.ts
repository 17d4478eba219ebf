import { invariant, unreachable } from "./assert.ts";
import { campaign, countOwnVote, stepCandidate } from "./candidate.ts";
import { checkOptions, type CoreOptions } from "./config.ts";
import {
  becomeFollower,
  forgetLeader,
  handleChunkStored,
  handleSnapshotFailed,
  handleSnapshotInstalled,
  stepFollower,
} from "./follower.ts";
import { checkState } from "./invariants.ts";
import {
  flushLeader,
  handleChunkOffer,
  handleSnapshotUnavailable,
  handleUnreachable,
  leadConfiguration,
  requestRead,
  stepLeader,
  tickLeader,
  transferLeadership,
} from "./leader.ts";
import { applyChange, isMember } from "./membership.ts";
import { isWellFormed } from "./message-check.ts";
import { proposeConfiguration, proposeEntries } from "./proposals.ts";
import { maybeCommit } from "./replication.ts";
import { CoreState } from "./state.ts";
import { statusOf } from "./status.ts";
import {
  type Configuration,
  type ConfigurationChange,
  type HardState,
  type Index,
  type Input,
  type MemberId,
  type Message,
  NONE,
  type ProposeResult,
  type Ready,
  type Role,
  type Status,
  type Term,
} from "./types.ts";
import { answerVote } from "./voting.ts";

/** Entries handed out to be applied in one `ready()`, so that applying goes in slices. */
export const COMMITTED_ENTRIES_MAX = 1024;
/** Their bytes; one larger entry is handed out alone. */
export const COMMITTED_BYTES_MAX = 8 << 20;

const NOTHING: readonly never[] = [];

/** A hard state on its way to the log. */
interface PendingHardState extends HardState {
  readonly ready: number;
}

/**
 * The Raft core of one member. See `types.ts` for the contract.
 *
 * Inputs change the state and collect effects; `ready()` takes the effects. The files beside this one hold the roles;
 * terms, the switch between roles and the order of durability live here.
 */
export class RaftCore {
  readonly #state: CoreState;
  // The last hard state that was handed out.
  #handedTerm: Term;
  #handedVote: MemberId;
  #handedCommit: Index;
  #pendingHardStates: PendingHardState[] = [];
  #lastReady = 0;

  constructor(options: CoreOptions) {
    checkOptions(options);
    this.#state = new CoreState(options);
    this.#handedTerm = this.#state.term;
    this.#handedVote = this.#state.vote;
    this.#handedCommit = this.#state.log.commit;
    invariant(this.#state.term >= this.#state.log.lastTerm, "Recovered log has a higher term than the hard state");
  }

  step(input: Input): void {
    const state = this.#state;
    const { leadership } = state;
    switch (input.type) {
      case "tick":
        this.#tick();
        return;
      case "message":
        this.#receive(input.from, input.message);
        return;
      case "persisted":
        this.#persisted(input.ready);
        return;
      case "applied":
        this.#applied(input.index);
        return;
      case "readIndex":
        this.#readIndex(input.context);
        return;
      case "transferLeadership":
        if (leadership !== undefined) transferLeadership(state, leadership, input.to);
        return;
      case "connectionLost":
        this.#connectionLost(input.member, input.delayTicks);
        return;
      case "unreachable":
        if (leadership !== undefined) handleUnreachable(leadership, input.member);
        return;
      case "snapshotChunk":
        if (leadership !== undefined) handleChunkOffer(state, leadership, input.to, input);
        return;
      case "snapshotUnavailable":
        if (leadership !== undefined) handleSnapshotUnavailable(state, leadership, input.to, input.transfer);
        return;
      case "chunkStored":
        handleChunkStored(state, input.transfer, input.sequence);
        return;
      case "snapshotInstalled":
        handleSnapshotInstalled(state, input.transfer, input.meta);
        return;
      case "snapshotFailed":
        handleSnapshotFailed(state, input.transfer);
        return;
      case "campaign":
        campaign(state, "preVote");
        return;
      default:
        unreachable(input);
    }
  }

  /** Appends normal entries at the leader. Takes all or none. */
  propose(data: readonly Uint8Array[]): ProposeResult {
    return proposeEntries(this.#state, data);
  }

  /** Appends a configuration entry at the leader. `data` is kept with it (names and URLs of the member). */
  proposeChange(change: ConfigurationChange, data: Uint8Array): ProposeResult {
    return proposeConfiguration(this.#state, change, data);
  }

  hasReady(): boolean {
    this.#flush();
    const state = this.#state;
    return (
      this.#hardStateDue() ||
      state.messages.length > 0 ||
      state.messagesAfterPersist.length > 0 ||
      state.log.hasUnhanded() ||
      (this.#mayApply() && state.log.hasCommitted()) ||
      state.reads.length > 0 ||
      state.failedReads.length > 0 ||
      state.snapshotRequests.length > 0 ||
      state.install.length > 0
    );
  }

  /** Takes everything that has to be done. Each effect is handed out once. */
  ready(): Ready {
    this.#flush();
    const state = this.#state;
    this.#lastReady += 1;
    return {
      number: this.#lastReady,
      hardState: this.#takeHardState(),
      entries: state.log.takeUnhanded(this.#lastReady),
      messages: takeList(state.messages),
      messagesAfterPersist: takeList(state.messagesAfterPersist),
      committed: this.#mayApply() ? state.log.takeCommitted(COMMITTED_ENTRIES_MAX, COMMITTED_BYTES_MAX) : NOTHING,
      reads: takeList(state.reads),
      failedReads: takeList(state.failedReads),
      snapshotRequests: takeList(state.snapshotRequests),
      install: takeList(state.install),
    };
  }

  get role(): Role {
    return this.#state.role;
  }

  get term(): Term {
    return this.#state.term;
  }

  /** The leader of `term`, or `NONE`. */
  get leader(): MemberId {
    return this.#state.leader;
  }

  get configuration(): Configuration {
    return this.#state.configuration;
  }

  get commit(): Index {
    return this.#state.log.commit;
  }

  get applied(): Index {
    return this.#state.log.applied;
  }

  /** Everything else that the outside may know. Makes copies: for every turn there are the getters above. */
  status(): Status {
    return statusOf(this.#state);
  }

  /**
   * Drops entries up to `index` from memory, when a checkpoint holds them. Keeps what is not applied or not durable, and
   * what a peer needs behind the snapshot that it is being sent.
   * @returns the new first index
   */
  compact(index: Index): Index {
    const { log, leadership } = this.#state;
    let to = index;
    for (const progress of leadership?.peers.values() ?? []) {
      to = Math.min(to, progress.sender?.meta?.index ?? to);
    }
    log.compact(to);
    return log.firstIndex;
  }

  /** Term of the entry at `index`, or undefined when it is not in the log. */
  termAt(index: Index): Term | undefined {
    return this.#state.log.termAt(index);
  }

  /** Throws InvariantError when an invariant of the core does not hold. Used after every step in tests. */
  checkInvariants(): void {
    checkState(this.#state);
    const durable = this.#pendingHardStates.length === 0 && !this.#hardStateChanged();
    invariant(!durable || this.#state.hardStateIsDurable(), "Hard state is neither durable nor on its way");
  }

  #tick(): void {
    const state = this.#state;
    state.now += 1;
    if (state.leadership !== undefined) {
      tickLeader(state, state.leadership);
      return;
    }
    for (const context of state.forwarded.takeExpired(state.now))
      state.failedReads.push({ context, reason: "timeout" });
    state.electionElapsed += 1;
    const wasDelayed = state.campaignDelay > 0;
    if (wasDelayed) state.campaignDelay -= 1;
    if (wasDelayed && state.campaignDelay === 0) {
      campaign(state, "preVote");
    } else if (state.electionElapsed >= state.electionTimeout) {
      this.#electionTimeout();
    }
  }

  #electionTimeout(): void {
    const state = this.#state;
    // A transfer whose leader is silent is no reason to wait. One that the shell is deciding is.
    if (state.receiving?.finishing === false) state.receiving = undefined;
    state.restartElectionTimer();
    campaign(state, "preVote");
  }

  #connectionLost(member: MemberId, delayTicks: number): void {
    const state = this.#state;
    if (state.leadership !== undefined) {
      handleUnreachable(state.leadership, member);
      return;
    }
    forgetLeader(state, member, delayTicks);
  }

  #readIndex(context: number): void {
    const state = this.#state;
    if (state.leadership !== undefined) {
      requestRead(state, state.leadership, NONE, context);
    } else if (state.leader === NONE) {
      state.failedReads.push({ context, reason: "noLeader" });
    } else if (!state.forwarded.add(context)) {
      state.failedReads.push({ context, reason: "timeout" });
    }
  }

  #receive(from: MemberId, message: Message): void {
    const state = this.#state;
    if (from === state.id || !isWellFormed(message) || !this.#isHeard(from, message)) return;
    if (message.type === "voteRequest") {
      answerVote(state, from, message);
      return;
    }
    if (message.term < state.term) {
      this.#answerOldTerm(from, message);
      return;
    }
    // A granted pre-vote carries the term that a campaign would have. It changes nobody's term.
    const isPreVoteGrant = message.type === "voteResponse" && message.preVote && message.granted;
    if (message.term > state.term && !isPreVoteGrant) {
      becomeFollower(state, message.term, isFromLeader(message) ? from : NONE);
    }
    if (message.type === "timeoutNow") {
      if (from === state.leader && state.role === "follower") campaign(state, "transfer");
      return;
    }
    switch (state.role) {
      case "follower":
        stepFollower(state, from, message);
        return;
      case "preCandidate":
      case "candidate":
        stepCandidate(state, from, message);
        return;
      case "leader":
        stepLeader(state, from, message);
    }
  }

  /**
   * Who may say what. A leader is believed even if our configuration does not know it: ours may lag behind. Everybody
   * else must be a member, so that a removed one cannot disturb. (Vote requests are judged in `voting.ts`.)
   */
  #isHeard(from: MemberId, message: Message): boolean {
    if (message.type === "voteRequest" || isFromLeader(message)) return true;
    return from === this.#state.leader || this.#state.isMember(from);
  }

  // A leader of an older term does not know that it is over: an answer in our term tells it, which also lets in a member
  // whose term ran ahead while it was cut off (etcd-io/raft, "free stuck candidate").
  #answerOldTerm(from: MemberId, message: Message): void {
    const state = this.#state;
    if (!isFromLeader(message)) return;
    state.reply(from, { type: "heartbeatResponse", term: state.term, round: 0, needSnapshot: state.machineMissing });
  }

  #persisted(ready: number): void {
    const state = this.#state;
    invariant(ready <= this.#lastReady, "A ready was reported durable before it was handed out");
    state.log.persisted(ready);
    while ((this.#pendingHardStates[0]?.ready ?? Infinity) <= ready) {
      const hardState = this.#pendingHardStates.shift();
      state.durableTerm = hardState?.term ?? state.durableTerm;
      state.durableVote = hardState?.vote ?? state.durableVote;
      state.log.commitPersisted(hardState?.commit ?? 0);
    }
    if (state.leadership !== undefined) maybeCommit(state, state.leadership);
    else countOwnVote(state);
  }

  #applied(index: Index): void {
    const state = this.#state;
    const before = state.configuration;
    state.log.appliedTo(index, (entry) => {
      if (entry.type === "configuration") state.configuration = applyChange(state.configuration, entry.change);
    });
    if (state.configuration === before) return;
    if (state.leadership !== undefined) {
      leadConfiguration(state, state.leadership, state.configuration);
    } else if (isMember(before, state.leader) && !state.isMember(state.leader)) {
      // The leader removed itself and steps down: no need to wait until its silence is noticed.
      forgetLeader(state, state.leader, 1 + state.options.random(state.options.heartbeatTicks));
    } else if (state.role !== "follower") {
      // A campaign counts the votes of one configuration. The next timeout begins another.
      becomeFollower(state, state.term, NONE);
    }
  }

  #flush(): void {
    const state = this.#state;
    if (state.leadership !== undefined) {
      flushLeader(state, state.leadership);
    } else if (state.forwarded.hasWaiting() && state.leader !== NONE) {
      const context = state.forwarded.send(state.now + state.options.electionTimeoutTicks);
      state.reply(state.leader, { type: "readIndexRequest", term: state.term, context });
    }
  }

  // Nothing is applied while there is no machine state to apply it to, or while the shell is replacing it.
  #mayApply(): boolean {
    return !this.#state.machineMissing && this.#state.receiving?.finishing !== true;
  }

  #hardStateChanged(): boolean {
    return this.#handedTerm !== this.#state.term || this.#handedVote !== this.#state.vote;
  }

  // Only a configuration makes its commit worth a write of its own. Any other commit goes along with the next group, so
  // that a restart has less to hear again.
  #hardStateDue(): boolean {
    return this.#hardStateChanged() || this.#state.log.awaitsRecord(this.#handedCommit);
  }

  #takeHardState(): HardState | undefined {
    const { term, vote, log } = this.#state;
    const commit = Math.max(log.recordableCommit, this.#handedCommit);
    const goesAlong = log.hasUnhanded() && commit > this.#handedCommit;
    if (!goesAlong && !this.#hardStateDue()) return undefined;
    this.#handedTerm = term;
    this.#handedVote = vote;
    this.#handedCommit = commit;
    this.#pendingHardStates.push({ ready: this.#lastReady, term, vote, commit });
    return { term, vote, commit };
  }
}

function isFromLeader(message: Message): boolean {
  return message.type === "appendRequest" || message.type === "heartbeat" || message.type === "snapshotChunk";
}

// The reader keeps what it is given, so it gets a copy and never the list that the next inputs add to.
function takeList<T>(list: T[]): readonly T[] {
  return list.length === 0 ? NOTHING : list.splice(0);
}
