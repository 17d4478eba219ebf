import { closesGap, SnapshotReceiver } from "./snapshot.ts";
import { type CoreState } from "./state.ts";
import { type Index, type MemberId, type Message, NONE, type SnapshotMeta, type Term } from "./types.ts";

type Of<Type extends Message["type"]> = Extract<Message, { type: Type }>;

/** Turns into a follower of `leader` (or of nobody yet) in `term`. Whatever the old role held is given up. */
export function becomeFollower(state: CoreState, term: Term, leader: MemberId): void {
  if (term !== state.term) {
    state.term = term;
    state.vote = NONE;
  }
  state.role = "follower";
  state.votes.clear();
  const reads = state.leadership?.reads.drain() ?? [];
  for (const read of reads) {
    if (read.from === NONE) state.failedReads.push({ context: read.context, reason: "leaderChanged" });
  }
  state.leadership = undefined;
  setLeader(state, leader);
  state.restartElectionTimer();
}

/** Remembers who leads. What was begun with another leader is given up. */
export function setLeader(state: CoreState, leader: MemberId): void {
  if (state.leader === leader) return;
  state.leader = leader;
  for (const context of state.forwarded.drain()) state.failedReads.push({ context, reason: "leaderChanged" });
  // A snapshot whose last chunk is with the shell is decided there. Any other begins anew with the next leader.
  if (state.receiving?.finishing === false) state.receiving = undefined;
}

/** One message for a follower of the current term. */
export function stepFollower(state: CoreState, from: MemberId, message: Message): void {
  switch (message.type) {
    case "appendRequest":
      if (hearLeader(state, from)) handleAppend(state, from, message);
      return;
    case "heartbeat":
      if (hearLeader(state, from)) handleHeartbeat(state, from, message);
      return;
    case "snapshotChunk":
      if (hearLeader(state, from)) handleChunk(state, from, message);
      return;
    case "readIndexResponse":
      if (from === state.leader) handleReadIndexResponse(state, message);
      return;
    case "readIndexRequest":
      refuseRead(state, from, message);
      return;
    default:
      // Answers to a campaign or to a leadership that is over.
      return;
  }
}

/** The follower cannot confirm anything: the sender takes it for the leader by mistake. */
export function refuseRead(state: CoreState, from: MemberId, message: Of<"readIndexRequest">): void {
  state.reply(from, { type: "readIndexResponse", term: state.term, context: message.context, index: 0 });
}

/**
 * The connection from `member` is gone, most likely with its process: forget it as leader, which frees our vote, and
 * ask around after `delayTicks` whether others lost it too.
 */
export function forgetLeader(state: CoreState, member: MemberId, delayTicks: number): void {
  if (state.role !== "follower" || state.leader !== member) return;
  setLeader(state, NONE);
  state.campaignDelay = Math.max(1, delayTicks);
}

/** The shell stored a chunk. */
export function handleChunkStored(state: CoreState, transfer: number, sequence: number): void {
  const receiving = state.receiving;
  if (receiving?.transfer !== transfer || !receiving.storedChunk(sequence)) return;
  askForNext(state, receiving);
}

/** The shell verified the snapshot and switched to it: the log follows. Honoured whoever leads by now. */
export function handleSnapshotInstalled(state: CoreState, transfer: number, meta: SnapshotMeta): void {
  const receiving = state.receiving;
  state.receiving = undefined;
  if (meta.index <= state.log.applied && !state.machineMissing) return;
  state.log.install(meta);
  state.configuration = meta.configuration;
  state.machineMissing = false;
  state.restartElectionTimer();
  if (state.leader === NONE) return;
  if (receiving?.from === state.leader) answerChunk(state, state.leader, transfer, "installed", 0);
  acceptAppend(state, state.leader, meta.index, 0);
}

/** The shell could not install: the leader begins a new transfer. */
export function handleSnapshotFailed(state: CoreState, transfer: number): void {
  const receiving = state.receiving;
  if (receiving?.transfer !== transfer) return;
  state.receiving = undefined;
  if (receiving.from === state.leader) answerChunk(state, receiving.from, transfer, "refused", 0);
}

// Returns false when another one leads in this term: there is only one, so the message is not what it says.
function hearLeader(state: CoreState, from: MemberId): boolean {
  if (state.leader !== NONE && state.leader !== from) return false;
  setLeader(state, from);
  state.electionElapsed = 0;
  state.campaignDelay = 0;
  return true;
}

function handleAppend(state: CoreState, from: MemberId, message: Of<"appendRequest">): void {
  const { log, receiving } = state;
  // The shell is about to replace the log by a snapshot: what was appended now would be dropped after it was vouched for.
  if (receiving?.finishing === true && !log.holds(receiving.meta)) return;
  if (message.previousIndex < log.commit) {
    // Late or repeated. Everything up to the commit index is known to match.
    acceptAppend(state, from, log.commit, log.commit);
    return;
  }
  const matched = log.maybeAppend(message.previousIndex, message.previousTerm, message.entries);
  if (matched !== undefined) {
    log.commitTo(Math.min(message.commit, matched));
    acceptAppend(state, from, matched, matched);
    return;
  }
  // The leader may skip every index whose term, here, is above that of its own entry: they cannot agree there.
  const hintIndex = log.lastIndexNotAbove(message.previousIndex, message.previousTerm);
  state.reply(from, {
    type: "appendResponse",
    term: state.term,
    index: message.previousIndex,
    refused: true,
    hintIndex,
    hintTerm: log.termAt(hintIndex) ?? 0,
    needSnapshot: state.machineMissing,
  });
}

function acceptAppend(state: CoreState, to: MemberId, index: Index, durableFrom: Index): void {
  state.reply(
    to,
    {
      type: "appendResponse",
      term: state.term,
      index,
      refused: false,
      hintIndex: 0,
      hintTerm: 0,
      needSnapshot: state.machineMissing,
    },
    durableFrom,
  );
}

function handleHeartbeat(state: CoreState, from: MemberId, message: Of<"heartbeat">): void {
  // The leader caps this at what it knows to match here. Beyond our log it can only be a mistake.
  if (message.commit <= state.log.lastIndex) state.log.commitTo(message.commit);
  state.reply(from, {
    type: "heartbeatResponse",
    term: state.term,
    round: message.round,
    needSnapshot: state.machineMissing,
  });
}

function handleChunk(state: CoreState, from: MemberId, message: Of<"snapshotChunk">): void {
  const { log, machineMissing } = state;
  const meta = message.meta;
  if (state.receiving?.finishing === true) {
    // Says that we live, while the shell verifies.
    if (state.receiving.isOf(from, message)) askForNext(state, state.receiving);
    return;
  }
  if (!machineMissing && (meta.index <= log.commit || log.holds(meta))) {
    state.receiving = undefined;
    log.commitTo(meta.index);
    answerChunk(state, from, message.transfer, "installed", 0, meta.index);
    acceptAppend(state, from, log.commit, log.commit);
    return;
  }
  if (machineMissing && !fitsLog(state, meta)) {
    answerChunk(state, from, message.transfer, "refused", 0);
    return;
  }
  const receiving = receiverOf(state, from, message);
  const verdict = receiving?.accept(message);
  if (verdict === "install") {
    const { transfer, sequence, last, data } = message;
    state.install.push({ from, transfer, meta, sequence, last, data });
  } else if (verdict === "repeat" && receiving !== undefined) {
    askForNext(state, receiving);
  }
}

// The transfer that the chunk belongs to. The first chunk of another one replaces it; a later chunk of an unknown one is late.
function receiverOf(state: CoreState, from: MemberId, message: Of<"snapshotChunk">): SnapshotReceiver | undefined {
  if (state.receiving?.isOf(from, message) === true) return state.receiving;
  if (message.sequence !== 0) return undefined;
  state.receiving = new SnapshotReceiver(from, message);
  return state.receiving;
}

// Behind a snapshot the log must go on without a gap, and agree with it.
function fitsLog(state: CoreState, meta: SnapshotMeta): boolean {
  if (!closesGap(meta, state.log.firstIndex)) return false;
  return meta.index > state.log.commit || state.log.holds(meta);
}

function askForNext(state: CoreState, receiving: SnapshotReceiver): void {
  answerChunk(state, receiving.from, receiving.transfer, "next", receiving.stored);
}

function answerChunk(
  state: CoreState,
  to: MemberId,
  transfer: number,
  status: Of<"snapshotResponse">["status"],
  sequence: number,
  durableFrom: Index = 0,
): void {
  state.reply(to, { type: "snapshotResponse", term: state.term, transfer, status, sequence }, durableFrom);
}

function handleReadIndexResponse(state: CoreState, message: Of<"readIndexResponse">): void {
  for (const context of state.forwarded.take(message.context)) {
    if (message.index > 0) state.reads.push({ context, index: message.index });
    else state.failedReads.push({ context, reason: "noLeader" });
  }
}
