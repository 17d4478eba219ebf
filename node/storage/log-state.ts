import { invariant } from "../raft/assert.ts";
import { type Entry, type HardState, type Index, NONE, type Term } from "../raft/types.ts";
import { type CheckpointPointer, type LogGroup, type LogIdentity } from "./log-store.ts";

/** The checkpoint of a log that has none yet. */
export const NO_CHECKPOINT: CheckpointPointer = {
  meta: { index: 0, term: 0, configuration: { voters: [], learners: [] } },
  directory: "",
};

/**
 * What a log holds at one place, without the entries themselves. Every implementation lets what it is asked to append
 * pass through `check`, and follows it with the other methods.
 */
export class LogState {
  identity: LogIdentity;
  hardState: HardState = { term: 0, vote: NONE, commit: 0 };
  checkpoint: CheckpointPointer = NO_CHECKPOINT;
  /** Index of the last entry, or of the checkpoint that the log was reset to. */
  lastIndex: Index = 0;

  constructor(identity: LogIdentity) {
    this.identity = identity;
  }

  copy(): LogState {
    const copy = new LogState(this.identity);
    copy.hardState = this.hardState;
    copy.checkpoint = this.checkpoint;
    copy.lastIndex = this.lastIndex;
    return copy;
  }

  /** @throws InvariantError when the group cannot follow what is there: nobody may rely on what it would do */
  check(group: LogGroup): void {
    const { identity, hardState, checkpoint, entries = [], resetLog = false } = group;
    if (identity !== undefined) {
      const fault = identityFault(this.identity, identity);
      invariant(fault === undefined, () => fault ?? "");
    }
    if (hardState !== undefined) {
      const { term, vote, commit } = this.hardState;
      invariant(hardState.term >= term, "The term of a log never goes back");
      invariant(hardState.term > term || vote === NONE || hardState.vote === vote, "A member votes once in a term");
      invariant(hardState.commit >= commit, "The commit index of a log never goes back");
    }
    invariant(checkpoint !== undefined || !resetLog, "A log is reset to a checkpoint only");
    if (checkpoint !== undefined) {
      invariant(checkpoint.meta.index >= this.checkpoint.meta.index, "The checkpoint of a log never goes back");
      invariant(resetLog || checkpoint.meta.index <= this.lastIndex, "A checkpoint never passes its log");
    }
    const compacted = (checkpoint ?? this.checkpoint).meta.index;
    invariant((entries[0]?.index ?? Infinity) > compacted, "Entries in the checkpoint are never overwritten");
    const last = resetLog ? compacted : this.lastIndex;
    const term = hardState?.term ?? this.hardState.term;
    const wrong = entriesFault(entries, last, term);
    invariant(wrong === undefined, () => wrong ?? "");
    const { commit } = hardState ?? this.hardState;
    invariant(commit <= last, "The commit index never passes what was appended before");
    invariant((entries[0]?.index ?? Infinity) > commit, "Committed entries are never overwritten");
  }

  apply(group: LogGroup): void {
    if (group.identity !== undefined) this.identity = group.identity;
    if (group.hardState !== undefined) this.hardState = group.hardState;
    if (group.checkpoint !== undefined) this.setCheckpoint(group.checkpoint, group.resetLog === true);
    this.addEntries(group.entries ?? []);
  }

  setCheckpoint(checkpoint: CheckpointPointer, reset: boolean): void {
    this.checkpoint = checkpoint;
    if (reset) this.lastIndex = checkpoint.meta.index;
  }

  addEntries(entries: readonly Entry[]): void {
    this.lastIndex = entries.at(-1)?.index ?? this.lastIndex;
  }
}

/** What keeps the entries from following an entry `lastIndex`: a gap, an index out of order, a term that goes back or lies in the future. */
export function entriesFault(entries: readonly Entry[], lastIndex: Index, termMax: Term): string | undefined {
  const first = entries[0];
  if (first === undefined) return undefined;
  if (first.index > lastIndex + 1) return `Entry ${first.index} would leave a gap behind entry ${lastIndex}`;
  let previous = first;
  for (const [at, entry] of entries.entries()) {
    if (entry.index !== first.index + at) return `Entry ${entry.index} follows entry ${previous.index}`;
    if (entry.term < previous.term) return `Entry ${entry.index} has term ${entry.term}, less than the one before it`;
    previous = entry;
  }
  return previous.term > termMax
    ? `Entry ${previous.index} has term ${previous.term}, the log is at ${termMax}`
    : undefined;
}

/** Why `next` cannot replace `identity`, or undefined. */
export function identityFault(identity: LogIdentity, next: LogIdentity): string | undefined {
  if (next.groupId !== identity.groupId) return `Group id ${next.groupId} replaces ${identity.groupId}`;
  if (next.memberId !== identity.memberId) return `Member id "${next.memberId}" replaces "${identity.memberId}"`;
  if (identity.clusterId !== "" && next.clusterId !== identity.clusterId)
    return `Cluster id "${next.clusterId}" replaces "${identity.clusterId}"`;
  return undefined;
}
