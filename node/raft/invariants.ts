import { invariant } from "./assert.ts";
import { type CoreState, type Leadership } from "./state.ts";
import { NONE } from "./types.ts";

/** Checks everything that must hold between two inputs. Costs as much as the log is long: for tests and simulation. */
export function checkState(state: CoreState): void {
  const { log, role, leadership } = state;
  log.checkInvariants();
  invariant(state.term >= log.lastTerm, "The log has a higher term than its owner");
  invariant(state.durableTerm <= state.term, "Durable term is ahead of the term");
  invariant((role === "leader") === (leadership !== undefined), "Role and leadership disagree");
  invariant(
    (role === "leader") === (state.leader === state.id),
    "A member takes itself for the leader and does not lead",
  );
  const campaigns = role === "candidate" || role === "preCandidate";
  invariant(!campaigns || state.leader === NONE, "A candidate knows a leader");
  invariant(role !== "candidate" || state.vote === state.id, "A candidate votes for another");
  invariant(campaigns || state.votes.size === 0, "Votes are left from an old campaign");
  invariant(
    state.receiving === undefined || role === "follower",
    "A snapshot is installed outside the follower's role",
  );
  invariant(!state.machineMissing || role === "follower", "A member without machine state campaigns");
  const { voters, learners } = state.configuration;
  invariant(new Set([...voters, ...learners]).size === voters.length + learners.length, "A member is listed twice");
  if (leadership !== undefined) checkLeadership(state, leadership);
}

function checkLeadership(state: CoreState, leadership: Leadership): void {
  const { log } = state;
  invariant(state.hardStateIsDurable(), "A leader's term is not durable");
  invariant(log.lastTerm === state.term, "A leader has no entry of its term");
  invariant(log.commit <= log.durable, "A leader committed what is not durable at itself");
  invariant(
    leadership.uncommittedBytes === log.bytesBetween(log.commit + 1, log.lastIndex),
    "Uncommitted bytes are miscounted",
  );
  invariant(!leadership.peers.has(state.id), "A leader is its own peer");
  for (const [id, progress] of leadership.peers) {
    invariant(state.isMember(id), "A peer is not a member");
    invariant(progress.match < progress.next, "Match is not below next");
    invariant(progress.match <= log.lastIndex, "Match lies behind the log's end");
    invariant(progress.next <= log.lastIndex + 1, "Next lies behind the log's end");
    invariant(progress.state === "snapshot" ? progress.sender !== undefined : true, "Snapshot state without transfer");
    invariant(progress.state === "replicate" || progress.window.count === 0, "Requests are counted outside replicate");
    invariant(progress.window.bytes >= 0, "Window has negative bytes");
  }
}
