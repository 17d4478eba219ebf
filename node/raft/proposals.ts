import { invariant } from "./assert.ts";
import { ENTRY_OVERHEAD_BYTES } from "./log.ts";
import { refusalOf } from "./membership.ts";
import { hasCommittedInTerm, isActive } from "./replication.ts";
import { type CoreState, type Leadership } from "./state.ts";
import { type ConfigurationChange, type MemberId, NONE, type ProposeResult, type Refusal } from "./types.ts";

/** Appends normal entries at the leader, all or none. */
export function proposeEntries(state: CoreState, data: readonly Uint8Array[]): ProposeResult {
  invariant(data.length > 0, "A proposal has no entry");
  const { leadership, log, term } = state;
  if (leadership === undefined) return { ok: false, reason: "notLeader" };
  if (leadership.transferee !== NONE) return { ok: false, reason: "transferring" };
  let bytes = 0;
  for (const item of data) bytes += item.length + ENTRY_OVERHEAD_BYTES;
  if (isOverloaded(state, leadership, data.length, bytes)) return { ok: false, reason: "tooManyUncommitted" };
  const firstIndex = log.lastIndex + 1;
  for (const item of data) log.push({ type: "normal", index: log.lastIndex + 1, term, data: item });
  leadership.uncommittedBytes += bytes;
  leadership.appendsDue = true;
  return { ok: true, term, firstIndex, lastIndex: log.lastIndex };
}

/** Appends a configuration entry at the leader, or says why not. */
export function proposeConfiguration(state: CoreState, change: ConfigurationChange, data: Uint8Array): ProposeResult {
  const { leadership, log, term } = state;
  if (leadership === undefined) return { ok: false, reason: "notLeader" };
  const reason = changeRefusal(state, leadership, change);
  if (reason !== undefined) return { ok: false, reason };
  const index = log.lastIndex + 1;
  log.push({ type: "configuration", index, term, data, change });
  leadership.uncommittedBytes += data.length + ENTRY_OVERHEAD_BYTES;
  leadership.appendsDue = true;
  return { ok: true, term, firstIndex: index, lastIndex: index };
}

function changeRefusal(state: CoreState, leadership: Leadership, change: ConfigurationChange): Refusal | undefined {
  if (leadership.transferee !== NONE) return "transferring";
  if (!hasCommittedInTerm(state)) return "notCommittedInTerm";
  if (state.log.unappliedConfiguration !== undefined) return "configurationPending";
  const refusal = refusalOf(state.configuration, change, {
    isActive: (member) => member === state.id || isPeerActive(state, leadership, member),
    isCaughtUp: (member) => isCaughtUp(state, leadership, member),
  });
  if (refusal !== undefined) return refusal;
  return isOverloaded(state, leadership, 1, ENTRY_OVERHEAD_BYTES) ? "tooManyUncommitted" : undefined;
}

/** The match stayed within `promotionLagEntries` of the commit index for one election timeout. */
export function isCaughtUp(state: CoreState, leadership: Leadership, member: MemberId): boolean {
  return (leadership.peers.get(member)?.caughtUpTicks ?? 0) >= state.options.electionTimeoutTicks;
}

function isPeerActive(state: CoreState, leadership: Leadership, member: MemberId): boolean {
  const progress = leadership.peers.get(member);
  return progress !== undefined && isActive(state, progress);
}

// A batch larger than the limit is taken when nothing else waits; otherwise it could never be.
function isOverloaded(state: CoreState, leadership: Leadership, count: number, bytes: number): boolean {
  const { uncommittedBytesMax, uncommittedEntriesMax } = state.options;
  const uncommitted = state.log.lastIndex - state.log.commit;
  if (uncommitted === 0) return false;
  return uncommitted + count > uncommittedEntriesMax || leadership.uncommittedBytes + bytes > uncommittedBytesMax;
}
