import { becomeFollower } from "./follower.ts";
import { type CoreState } from "./state.ts";
import { type KnownCommit, type MemberId, type Message, NONE } from "./types.ts";

type VoteRequest = Extract<Message, { type: "voteRequest" }>;

/** Answers a vote or pre-vote request, in any role. Rules: paper 5.2, 5.4.1 and section 6; Raft thesis 9.6. */
export function answerVote(state: CoreState, from: MemberId, message: VoteRequest): void {
  learnCommit(state, message.known);
  if (!isHeard(state, from, message)) return;
  if (message.term > state.term) {
    // Whoever hears a leader helps nobody to depose it, unless the leader itself asked for it.
    if (!message.transfer && hearsLeader(state)) return;
    if (!message.preVote) becomeFollower(state, message.term, NONE);
  } else if (message.term < state.term) {
    // A pre-candidate must learn our term, or it would ask for ever. A candidate of an old term learns it from the new leader.
    if (message.preVote) answer(state, from, true, false);
    return;
  }
  const granted = mayVoteFor(state, from, message) && state.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (granted && !message.preVote) {
    state.vote = from;
    state.restartElectionTimer();
  }
  answer(state, from, message.preVote, granted, message.term);
}

/**
 * A stranger is one of two: a removed member that does not know it, whose log ends before its removal; or a new one that
 * we do not know yet, whose log goes beyond ours. Only the second may be answered, and sometimes must be: it can hold
 * the only log that is able to win. A member that waits for its configuration knows nobody and answers all.
 */
function isHeard(state: CoreState, from: MemberId, message: VoteRequest): boolean {
  if (state.isMember(from) || state.configuration.voters.length === 0) return true;
  return state.log.isUpToDate(message.lastIndex, message.lastTerm);
}

function hearsLeader(state: CoreState): boolean {
  return state.leader !== NONE && state.electionElapsed < state.options.electionTimeoutTicks;
}

// Learners vote when they are asked: they may have been promoted without knowing it yet (etcd-io/raft#10998).
function mayVoteFor(state: CoreState, from: MemberId, message: VoteRequest): boolean {
  if (state.vote === from) return true;
  if (state.vote === NONE && state.leader === NONE) return true;
  return message.preVote && message.term > state.term;
}

function answer(state: CoreState, to: MemberId, preVote: boolean, granted: boolean, askedTerm = state.term): void {
  // A granted pre-vote names the term that was asked for, a refused one the term we are in.
  const term = granted ? askedTerm : state.term;
  state.reply(to, { type: "voteResponse", term, preVote, granted, known: knownCommit(state) });
}

export function knownCommit({ log }: CoreState): KnownCommit {
  return { index: log.commit, term: log.termAt(log.commit) ?? 0 };
}

/** What somebody knows to be committed is, in whichever term and whoever says so: an entry has one index and term. */
export function learnCommit(state: CoreState, { index, term }: KnownCommit): void {
  const { log } = state;
  if (state.role === "leader" || index <= log.commit || log.termAt(index) !== term) return;
  log.commitTo(index);
}
