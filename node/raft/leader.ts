import { invariant } from "./assert.ts";
import { becomeFollower, setLeader } from "./follower.ts";
import { Progress } from "./progress.ts";
import { quorumOf } from "./quorum.ts";
import { type ReadRequest, ReadRounds } from "./read-index.ts";
import {
  abandonTransfer,
  hasCommittedInTerm,
  isActive,
  maybeCommit,
  maybeStartTransfer,
  sendAllAppends,
  switchToSnapshot,
} from "./replication.ts";
import { type ChunkOffer } from "./snapshot.ts";
import { type CoreState, type Leadership } from "./state.ts";
import { type Configuration, type Index, type MemberId, type Message, NONE } from "./types.ts";

type Of<Type extends Message["type"]> = Extract<Message, { type: Type }>;

const NO_DATA = new Uint8Array(0);

/** Takes office: peers are probed from the end of the log, and an empty entry opens the term (paper, section 8). */
export function becomeLeader(state: CoreState): void {
  setLeader(state, state.id);
  state.role = "leader";
  state.votes.clear();
  state.receiving = undefined;
  state.electionElapsed = 0;
  state.campaignDelay = 0;
  state.heartbeatElapsed = 0;
  const leadership: Leadership = {
    peers: new Map(),
    reads: new ReadRounds(),
    since: state.now,
    uncommittedBytes: 0,
    transferee: NONE,
    transferDeadline: 0,
    transferSent: false,
    lastTransfer: 0,
    appendsDue: true,
  };
  state.leadership = leadership;
  addMissingPeers(state, leadership);
  state.log.push({ type: "normal", index: state.log.lastIndex + 1, term: state.term, data: NO_DATA });
  leadership.uncommittedBytes = state.log.bytesBetween(state.log.commit + 1, state.log.lastIndex);
}

/** One message for the leader, from a member, in its term. */
export function stepLeader(state: CoreState, from: MemberId, message: Message): void {
  const { leadership } = state;
  const progress = leadership?.peers.get(from);
  if (leadership === undefined || progress === undefined) return;
  progress.heardAt = state.now;
  switch (message.type) {
    case "appendResponse":
      progress.needSnapshot = message.needSnapshot;
      handleAppendResponse(state, leadership, from, progress, message);
      return;
    case "heartbeatResponse":
      progress.needSnapshot = message.needSnapshot;
      handleHeartbeatResponse(state, leadership, from, progress, message);
      return;
    case "snapshotResponse":
      handleSnapshotResponse(state, leadership, from, progress, message);
      return;
    case "readIndexRequest":
      requestRead(state, leadership, from, message.context);
      return;
    default:
      return;
  }
}

/** One tick of office. */
export function tickLeader(state: CoreState, leadership: Leadership): void {
  const { electionTimeoutTicks, heartbeatTicks } = state.options;
  if (state.now - leadership.since >= electionTimeoutTicks && !hasActiveQuorum(state, leadership)) {
    // CheckQuorum: somebody else may lead by now, and our clients had better look for it.
    becomeFollower(state, state.term, NONE);
    return;
  }
  for (const [id, progress] of leadership.peers) tickPeer(state, leadership, id, progress);
  for (const read of leadership.reads.takeExpired(state.now)) failRead(state, read);
  if (leadership.transferee !== NONE && state.now >= leadership.transferDeadline) leadership.transferee = NONE;
  state.heartbeatElapsed += 1;
  if (state.heartbeatElapsed >= heartbeatTicks) {
    state.heartbeatElapsed = 0;
    sendHeartbeats(state, leadership);
  }
}

/** What is due once per `ready()`: appends for everything that happened since, and one read round for all who wait. */
export function flushLeader(state: CoreState, leadership: Leadership): void {
  if (leadership.appendsDue) {
    leadership.appendsDue = false;
    sendAllAppends(state, leadership);
  }
  if (leadership.reads.canStart() && hasCommittedInTerm(state)) {
    leadership.reads.start(state.log.commit);
    leadership.reads.acknowledge(leadership.reads.round, state.id);
    if (!answerConfirmedReads(state, leadership)) sendHeartbeats(state, leadership);
  }
}

/** Queues a read: our own (`from` is `NONE`) or that of a follower. */
export function requestRead(state: CoreState, leadership: Leadership, from: MemberId, context: number): void {
  const read: ReadRequest = { from, context, deadline: state.now + state.options.electionTimeoutTicks };
  if (!leadership.reads.add(read)) failRead(state, read);
}

/** Starts handing leadership to `to`. Does nothing for a learner, a stranger, ourselves, or a member without machine state. */
export function transferLeadership(state: CoreState, leadership: Leadership, to: MemberId): void {
  const progress = leadership.peers.get(to);
  if (progress === undefined || !state.isVoter(to) || progress.needSnapshot || to === leadership.transferee) return;
  leadership.transferee = to;
  leadership.transferSent = false;
  leadership.transferDeadline = state.now + state.options.electionTimeoutTicks;
  leadership.appendsDue = true;
  progress.paused = false;
  maybeSendTimeoutNow(state, leadership, to, progress);
}

/** Messages to `progress`'s member were lost: find out anew where it stands. */
export function handleUnreachable(leadership: Leadership, member: MemberId): void {
  const progress = leadership.peers.get(member);
  if (progress?.state !== "replicate") return;
  progress.becomeProbe();
  leadership.appendsDue = true;
}

/** The shell offers a chunk. */
export function handleChunkOffer(state: CoreState, leadership: Leadership, to: MemberId, offer: ChunkOffer): void {
  const sender = leadership.peers.get(to)?.sender;
  if (sender?.transfer !== offer.transfer) return;
  const message = sender.offer(offer, state.term);
  if (message === undefined) return;
  state.send(to, message);
  requestChunk(state, to, sender.transfer, sender.takeRequest());
}

/** The shell cannot read a snapshot now. */
export function handleSnapshotUnavailable(
  state: CoreState,
  leadership: Leadership,
  to: MemberId,
  transfer: number,
): void {
  const progress = leadership.peers.get(to);
  if (progress?.sender?.transfer === transfer) abandonTransfer(state, progress);
}

/** A configuration was applied while we lead. A leader that is no voter any more tells what is committed, and resigns. */
export function leadConfiguration(state: CoreState, leadership: Leadership, configuration: Configuration): void {
  if (!state.isVoter(state.id)) {
    sendAllAppends(state, leadership);
    becomeFollower(state, state.term, NONE);
    return;
  }
  for (const id of leadership.peers.keys()) {
    if (!configuration.voters.includes(id) && !configuration.learners.includes(id)) leadership.peers.delete(id);
  }
  addMissingPeers(state, leadership);
  if (leadership.transferee !== NONE && !state.isVoter(leadership.transferee)) leadership.transferee = NONE;
  // A smaller quorum may be there already.
  maybeCommit(state, leadership);
  answerConfirmedReads(state, leadership);
  leadership.appendsDue = true;
}

function addMissingPeers(state: CoreState, leadership: Leadership): void {
  const { inflightMessagesMax: messagesMax, inflightBytesMax: bytesMax } = state.options;
  for (const id of [...state.configuration.voters, ...state.configuration.learners]) {
    if (id === state.id || leadership.peers.has(id)) continue;
    leadership.peers.set(id, new Progress(state.log.lastIndex + 1, { messagesMax, bytesMax }));
  }
}

function handleAppendResponse(
  state: CoreState,
  leadership: Leadership,
  from: MemberId,
  progress: Progress,
  message: Of<"appendResponse">,
): void {
  const { log } = state;
  if (message.index > log.lastIndex) return;
  if (message.refused) {
    // Skip on our side every index whose term is above what the follower has there.
    const hint = log.lastIndexNotAbove(message.hintIndex, message.hintTerm);
    if (!progress.maybeDecrease(message.index, hint)) return;
    leadership.appendsDue = true;
    // Neither log nor machine: the snapshot brings both.
    if (progress.needSnapshot) switchToSnapshot(state, leadership, from, progress);
    return;
  }
  const moved = progress.maybeUpdate(message.index);
  if (progress.state === "replicate") {
    progress.window.freeTo(message.index);
  } else if (progress.state === "probe") {
    if (moved || progress.match === message.index) progress.becomeReplicate();
  } else if (progress.match >= log.firstIndex - 1) {
    // The log reaches the peer again, by whichever way it got there (etcd-io/raft#10308).
    if (!progress.needSnapshot) progress.sender = undefined;
    progress.becomeReplicate();
  }
  leadership.appendsDue = true;
  if (moved) {
    maybeCommit(state, leadership);
    maybeSendTimeoutNow(state, leadership, from, progress);
  }
}

function handleHeartbeatResponse(
  state: CoreState,
  leadership: Leadership,
  from: MemberId,
  progress: Progress,
  message: Of<"heartbeatResponse">,
): void {
  progress.paused = false;
  // It lives and does not have all: the answers, or the requests before them, may be lost.
  if (progress.state === "replicate" && progress.match < state.log.lastIndex) progress.pingDue = true;
  leadership.appendsDue = true;
  if (message.round === 0) return;
  leadership.reads.acknowledge(message.round, from);
  answerConfirmedReads(state, leadership);
}

function handleSnapshotResponse(
  state: CoreState,
  leadership: Leadership,
  from: MemberId,
  progress: Progress,
  message: Of<"snapshotResponse">,
): void {
  const sender = progress.sender;
  if (sender?.transfer !== message.transfer) return;
  switch (message.status) {
    case "next":
      sender.storedTo(message.sequence);
      requestChunk(state, from, sender.transfer, sender.takeRequest());
      return;
    case "refused":
      abandonTransfer(state, progress);
      return;
    case "installed": {
      const index = sender.meta?.index;
      if (index === undefined || index > state.log.lastIndex) return;
      progress.sender = undefined;
      progress.needSnapshot = false;
      progress.transferNotBefore = state.now + state.options.electionTimeoutTicks;
      progress.maybeUpdate(index);
      if (progress.state === "snapshot") progress.becomeReplicate();
      leadership.appendsDue = true;
      maybeCommit(state, leadership);
      maybeSendTimeoutNow(state, leadership, from, progress);
    }
  }
}

function requestChunk(state: CoreState, to: MemberId, transfer: number, sequence: number | undefined): void {
  if (sequence !== undefined) state.snapshotRequests.push({ to, transfer, sequence });
}

function maybeSendTimeoutNow(state: CoreState, leadership: Leadership, to: MemberId, progress: Progress): void {
  if (leadership.transferee !== to || leadership.transferSent) return;
  if (progress.match !== state.log.lastIndex || progress.sender !== undefined || progress.needSnapshot) return;
  leadership.transferSent = true;
  state.send(to, { type: "timeoutNow", term: state.term });
}

function sendHeartbeats(state: CoreState, leadership: Leadership): void {
  for (const [id, progress] of leadership.peers) {
    // Never more than the peer is known to have: its log may differ behind that.
    const commit: Index = Math.min(state.log.commit, progress.match);
    state.send(id, { type: "heartbeat", term: state.term, commit, round: leadership.reads.round });
    progress.sentCommit = Math.max(progress.sentCommit, commit);
  }
}

function answerConfirmedReads(state: CoreState, leadership: Leadership): boolean {
  const confirmed = leadership.reads.takeConfirmed(state.configuration.voters);
  if (confirmed === undefined) return false;
  const { index, requests } = confirmed;
  invariant(index > 0, "A read was confirmed before anything was committed");
  for (const { from, context } of requests) {
    if (from === NONE) state.reads.push({ context, index });
    else state.send(from, { type: "readIndexResponse", term: state.term, context, index });
  }
  return true;
}

function failRead(state: CoreState, { from, context }: ReadRequest): void {
  if (from === NONE) state.failedReads.push({ context, reason: "timeout" });
  else state.send(from, { type: "readIndexResponse", term: state.term, context, index: 0 });
}

function hasActiveQuorum(state: CoreState, leadership: Leadership): boolean {
  let active = 0;
  for (const voter of state.configuration.voters) {
    const progress = leadership.peers.get(voter);
    if (voter === state.id || (progress !== undefined && isActive(state, progress))) active += 1;
  }
  return active >= quorumOf(state.configuration.voters.length);
}

function tickPeer(state: CoreState, leadership: Leadership, id: MemberId, progress: Progress): void {
  const { electionTimeoutTicks, promotionLagEntries } = state.options;
  const isNear = progress.state === "replicate" && progress.match + promotionLagEntries >= state.log.commit;
  const isReady = isNear && !progress.needSnapshot && isActive(state, progress);
  progress.caughtUpTicks = isReady ? progress.caughtUpTicks + 1 : 0;
  if (progress.needSnapshot) maybeStartTransfer(state, leadership, id, progress);
  const resend = progress.sender?.tick(electionTimeoutTicks) ?? [];
  if (resend === "stalled") abandonTransfer(state, progress);
  else for (const message of resend) state.send(id, message);
}
