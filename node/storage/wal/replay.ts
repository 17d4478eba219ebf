import { type Entry, type HardState, type Index } from "../../raft/types.ts";
import { entriesFault, identityFault, LogState } from "../log-state.ts";
import { type LogRecord } from "./record.ts";

/** Builds the state and the entries of a log from its records, in order. */
export class Replay {
  readonly state: LogState;
  /** Entries behind `base`, without gaps. */
  entries: Entry[] = [];
  /** Entries up to here are not known: they are in a checkpoint, or in segments that were recycled. */
  base: Index;

  /** @param start the first record of the oldest segment */
  constructor(start: LogRecord & { readonly type: "start" }) {
    const { facts } = start;
    this.state = new LogState(facts.identity);
    this.state.hardState = facts.hardState;
    this.state.checkpoint = facts.checkpoint;
    this.state.lastIndex = facts.lastIndex;
    this.base = facts.lastIndex;
  }

  /** @returns a sentence that says what is wrong when the record cannot follow what was replayed */
  apply(record: LogRecord): string | undefined {
    switch (record.type) {
      case "start":
        return this.#compare(record);
      case "identity": {
        const fault = identityFault(this.state.identity, record.identity);
        if (fault === undefined) this.state.identity = record.identity;
        return fault;
      }
      case "hardState":
        return this.#setHardState(record.hardState);
      case "checkpoint":
        this.state.setCheckpoint(record.checkpoint, record.reset);
        if (record.reset) {
          this.entries = [];
          this.base = record.checkpoint.meta.index;
        }
        return undefined;
      case "entries":
        return this.#addEntries(record.entries);
      case "seal":
        return undefined;
    }
  }

  #setHardState(next: HardState): string | undefined {
    const { hardState, lastIndex } = this.state;
    if (next.term < hardState.term) return `Term goes back to ${next.term}`;
    if (next.commit < hardState.commit) return `Commit index goes back to ${next.commit}`;
    if (next.commit > lastIndex) return `Commit index is ${next.commit}, the log ends with entry ${lastIndex}`;
    this.state.hardState = next;
    return undefined;
  }

  /** Entries that the log overwrites are superseded. */
  #addEntries(entries: readonly Entry[]): string | undefined {
    const first = entries[0];
    if (first === undefined) return undefined;
    const fault = entriesFault(entries, this.state.lastIndex, this.state.hardState.term);
    if (fault !== undefined) return fault;
    if (first.index <= this.state.hardState.commit) return `Entry ${first.index} overwrites a committed one`;
    if (first.index <= this.base) {
      this.base = first.index - 1;
      this.entries = [];
    } else this.entries.length = first.index - this.base - 1;
    const before = this.entries.at(-1);
    if (before !== undefined && before.term > first.term)
      return `Entry ${first.index} has term ${first.term}, less than the one before it`;
    for (const entry of entries) this.entries.push(entry);
    this.state.addEntries(entries);
    return undefined;
  }

  /** A segment repeats what was known before it: the two must agree. */
  #compare(record: LogRecord & { readonly type: "start" }): string | undefined {
    const { facts } = record;
    const { identity, hardState, checkpoint, lastIndex } = this.state;
    const same =
      facts.lastIndex === lastIndex &&
      facts.hardState.term === hardState.term &&
      facts.hardState.vote === hardState.vote &&
      facts.hardState.commit === hardState.commit &&
      facts.checkpoint.meta.index === checkpoint.meta.index &&
      facts.checkpoint.directory === checkpoint.directory &&
      facts.identity.memberId === identity.memberId &&
      facts.identity.clusterId === identity.clusterId;
    return same ? undefined : "Segment begins with a state that is not the one before it";
  }
}
