import { becomeFollower, setLeader, stepFollower } from "./follower.ts";
import { becomeLeader } from "./leader.ts";
import { voteResult } from "./quorum.ts";
import { type CoreState, TERM_MAX } from "./state.ts";
import { type MemberId, type Message, NONE } from "./types.ts";
import { knownCommit, learnCommit } from "./voting.ts";

type Of<Type extends Message["type"]> = Extract<Message, { type: Type }>;

/**
 * Starts an election where this member may lead.
 * @param kind `preVote` asks first whether others would vote (Raft thesis, 9.6); `transfer` was told to by the leader
 */
export function campaign(state: CoreState, kind: "preVote" | "transfer"): void {
  if (state.role === "leader" || !state.isPromotable()) return;
  if (kind === "preVote") becomePreCandidate(state);
  else becomeCandidate(state, true);
}

/** One message for a candidate or pre-candidate of the current term. */
export function stepCandidate(state: CoreState, from: MemberId, message: Message): void {
  switch (message.type) {
    case "appendRequest":
    case "heartbeat":
    case "snapshotChunk":
      // Somebody won this term (paper, 5.2).
      becomeFollower(state, state.term, from);
      stepFollower(state, from, message);
      return;
    case "voteResponse":
      handleVoteResponse(state, from, message);
      return;
    case "readIndexRequest":
      stepFollower(state, from, message);
      return;
    default:
      return;
  }
}

/** Our own vote is durable: only now it counts. */
export function countOwnVote(state: CoreState): void {
  if (state.role !== "candidate" || !state.hardStateIsDurable()) return;
  state.votes.set(state.id, true);
  countVotes(state);
}

function becomePreCandidate(state: CoreState): void {
  beginCampaign(state);
  state.role = "preCandidate";
  // A pre-vote promises nothing, so nothing has to be durable.
  state.votes.set(state.id, true);
  requestVotes(state, true, false);
  countVotes(state);
}

function becomeCandidate(state: CoreState, transfer: boolean): void {
  if (state.term >= TERM_MAX) return;
  beginCampaign(state);
  state.role = "candidate";
  state.term += 1;
  state.vote = state.id;
  requestVotes(state, false, transfer);
}

function beginCampaign(state: CoreState): void {
  setLeader(state, NONE);
  state.votes.clear();
  state.restartElectionTimer();
}

function requestVotes(state: CoreState, preVote: boolean, transfer: boolean): void {
  const message: Message = {
    type: "voteRequest",
    term: preVote ? state.term + 1 : state.term,
    preVote,
    lastIndex: state.log.lastIndex,
    lastTerm: state.log.lastTerm,
    transfer,
    known: knownCommit(state),
  };
  for (const voter of state.configuration.voters) {
    if (voter === state.id) continue;
    if (preVote) state.send(voter, message);
    else state.sendAfterPersist(voter, message);
  }
}

function handleVoteResponse(state: CoreState, from: MemberId, message: Of<"voteResponse">): void {
  learnCommit(state, message.known);
  if (message.preVote !== (state.role === "preCandidate")) return;
  // A granted pre-vote carries the term it was asked for. One for another campaign says nothing about this one.
  if (message.preVote && message.granted && message.term !== state.term + 1) return;
  if (!state.votes.has(from)) state.votes.set(from, message.granted);
  countVotes(state);
}

function countVotes(state: CoreState): void {
  // A change of the membership turned out to be committed: until it is applied nobody may count.
  if (!state.isPromotable()) {
    becomeFollower(state, state.term, NONE);
    return;
  }
  const result = voteResult(state.configuration.voters, state.votes);
  if (result === "lost") {
    becomeFollower(state, state.term, NONE);
  } else if (result === "won") {
    if (state.role === "preCandidate") becomeCandidate(state, false);
    // A leader sends at once, so its term must be durable before it is one.
    else if (state.hardStateIsDurable()) becomeLeader(state);
  }
}
