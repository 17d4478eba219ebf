import { hasCommittedInTerm, isActive } from "./replication.ts";
import { isCaughtUp } from "./proposals.ts";
import { isLearner } from "./membership.ts";
import { type CoreState, type Leadership } from "./state.ts";
import { NONE, type PeerStatus, type Status } from "./types.ts";

/** A copy of what the outside may know. */
export function statusOf(state: CoreState): Status {
  const { log, leadership } = state;
  return {
    id: state.id,
    role: state.role,
    term: state.term,
    vote: state.vote,
    leader: state.leader,
    commit: log.commit,
    applied: log.applied,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    configuration: state.configuration,
    transferee: leadership?.transferee ?? NONE,
    committedInTerm: hasCommittedInTerm(state),
    configurationPending: log.unappliedConfiguration !== undefined,
    peers: leadership === undefined ? [] : peersOf(state, leadership),
  };
}

function peersOf(state: CoreState, leadership: Leadership): readonly PeerStatus[] {
  return Array.from(leadership.peers, ([id, progress]) => ({
    id,
    learner: isLearner(state.configuration, id),
    match: progress.match,
    next: progress.next,
    state: progress.state,
    active: isActive(state, progress),
    caughtUp: isCaughtUp(state, leadership, id),
  }));
}
