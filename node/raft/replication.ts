import { entryBytes } from "./log.ts";
import { majorityIndex } from "./quorum.ts";
import { type Progress } from "./progress.ts";
import { SnapshotSender } from "./snapshot.ts";
import { type CoreState, type Leadership } from "./state.ts";
import { type Entry, type Index, type MemberId } from "./types.ts";

const NO_ENTRIES: readonly Entry[] = [];

/** Heard from within an election timeout. */
export function isActive(state: CoreState, progress: Progress): boolean {
  return progress.heardAt !== undefined && state.now - progress.heardAt < state.options.electionTimeoutTicks;
}

/** True from the moment an entry of the leader's own term is committed (paper, 5.4.2 and 8). */
export function hasCommittedInTerm(state: CoreState): boolean {
  return state.leadership !== undefined && state.log.termAt(state.log.commit) === state.term;
}

/**
 * Commits what a majority of voters has stored, by counting entries of the own term only (paper, 5.4.2), and never
 * beyond what is durable here: a leader that committed from memory could lose in a crash what it has shown to clients.
 * @returns whether the commit index moved
 */
export function maybeCommit(state: CoreState, leadership: Leadership): boolean {
  const { log } = state;
  const matches: Index[] = [];
  for (const voter of state.configuration.voters) {
    matches.push(voter === state.id ? log.durable : (leadership.peers.get(voter)?.match ?? 0));
  }
  const index = Math.min(majorityIndex(matches), log.durable);
  if (index <= log.commit || log.termAt(index) !== state.term) return false;
  leadership.uncommittedBytes -= log.bytesBetween(log.commit + 1, index);
  log.commitTo(index);
  leadership.appendsDue = true;
  return true;
}

/** Sends to every peer what it can take. */
export function sendAllAppends(state: CoreState, leadership: Leadership): void {
  const slices = new SliceCache();
  for (const [id, progress] of leadership.peers) {
    if (progress.needSnapshot && progress.state !== "snapshot") maybeStartTransfer(state, leadership, id, progress);
    sendAppends(state, leadership, id, progress, slices);
  }
}

/** Peers that are equally far get the same array of entries. */
class SliceCache {
  #from: Index = -1;
  #entries: readonly Entry[] = NO_ENTRIES;

  slice(state: CoreState, from: Index): readonly Entry[] {
    if (from !== this.#from) {
      this.#from = from;
      this.#entries = state.log.slice(from, state.options.appendBytesMax);
    }
    return this.#entries;
  }
}

function sendAppends(
  state: CoreState,
  leadership: Leadership,
  id: MemberId,
  progress: Progress,
  slices: SliceCache,
): void {
  const { log } = state;
  while (progress.state !== "snapshot") {
    const probing = progress.state === "probe";
    if (probing && progress.paused) return;
    const entriesDue = progress.next <= log.lastIndex && (probing || !progress.window.full());
    if (!entriesDue && !probing && !progress.pingDue && !progress.canBumpCommit(log.commit)) return;
    const previousIndex = progress.next - 1;
    const previousTerm = log.termAt(previousIndex);
    if (previousTerm === undefined) {
      switchToSnapshot(state, leadership, id, progress);
      return;
    }
    const entries = entriesDue ? slices.slice(state, progress.next) : NO_ENTRIES;
    state.send(id, {
      type: "appendRequest",
      term: state.term,
      previousIndex,
      previousTerm,
      commit: log.commit,
      entries,
    });
    progress.sentCommit = Math.max(progress.sentCommit, log.commit);
    progress.pingDue = false;
    if (probing) {
      progress.paused = true;
    } else if (entries.length > 0) {
      progress.next += entries.length;
      progress.window.add(progress.next - 1, sumBytes(entries));
    }
  }
}

function sumBytes(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}

/** Only a snapshot brings the peer back: the entry before the next one is compacted away, or the peer has nothing. */
export function switchToSnapshot(state: CoreState, leadership: Leadership, id: MemberId, progress: Progress): void {
  maybeStartTransfer(state, leadership, id, progress);
  if (progress.sender !== undefined) {
    progress.becomeSnapshot();
    return;
  }
  // Not now. The peer's next sign of life tries again.
  progress.becomeProbe(progress.next);
  progress.paused = true;
}

/** Begins a snapshot transfer, unless one is under way, the peer is silent, or the last one failed just now. */
export function maybeStartTransfer(state: CoreState, leadership: Leadership, id: MemberId, progress: Progress): void {
  if (progress.sender !== undefined || !isActive(state, progress) || state.now < progress.transferNotBefore) return;
  leadership.lastTransfer += 1;
  progress.sender = new SnapshotSender(leadership.lastTransfer);
  state.snapshotRequests.push({ to: id, transfer: leadership.lastTransfer, sequence: 0 });
}

/** Gives a transfer up. The next begins an election timeout later at the earliest. */
export function abandonTransfer(state: CoreState, progress: Progress): void {
  progress.sender = undefined;
  progress.transferNotBefore = state.now + state.options.electionTimeoutTicks;
  if (progress.state !== "snapshot") return;
  progress.becomeProbe();
  progress.paused = true;
}
