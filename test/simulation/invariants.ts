import { type RaftCore } from "../../node/raft/core.ts";
import { type Entry, type Index, type MemberId, type Term } from "../../node/raft/types.ts";
import { type SimNode } from "./node.ts";

/** Behind a change of the membership, an entry may have been committed by either configuration. */
const CHANGE_WINDOW_ENTRIES = 256;
/** Terms stay below it in a simulation, so that index and term make one number. */
const TERMS_MAX = 2 ** 16;

interface AppendedEntry {
  readonly fingerprint: number;
  /** Term of the entry before, where it is known. */
  readonly previousTerm: Term | undefined;
}

interface AppliedEntry {
  readonly term: Term;
  readonly fingerprint: number;
}

/** What a process was seen to be last. */
class Observed {
  leads = false;
  term: Term = 0;
  commit: Index = 0;
  applied: Index = 0;
  revision = 0;
}

/**
 * The cluster-wide safety properties of Raft (figure 3 of the paper) and the store's own, checked while a simulation
 * runs. What was committed once, at any replica, is remembered for good: that covers leader completeness and state-machine
 * safety across crashes.
 */
export class Invariants {
  /** Leader of each term. */
  readonly #leaders = new Map<Term, MemberId>();
  readonly #applied: AppliedEntry[] = [];
  /** Every entry that any log was ever given, by index and term. */
  readonly #appended = new Map<number, AppendedEntry>();
  readonly #observed = new Map<RaftCore, Observed>();
  readonly #leads: (node: SimNode) => void;
  #lastChange: Index = 0;

  /** `leads`: told of every new leader. */
  constructor(leads: (node: SimNode) => void) {
    this.#leads = leads;
  }

  /** Entries applied anywhere so far. */
  get appliedCount(): number {
    return this.#applied.length;
  }

  /** A look at a live replica. Cheap when nothing changed, so that it is taken after every event. */
  observe(node: SimNode): void {
    const { replica } = node;
    if (replica === undefined) return;
    const { core, machine } = replica;
    let seen = this.#observed.get(core);
    if (seen === undefined) this.#observed.set(core, (seen = new Observed()));
    const { commit, applied, term } = core;
    const leads = core.role === "leader";
    const begins = leads && (!seen.leads || seen.term !== term);
    if (begins) this.#lead(replica.memberId, core);
    if (term < seen.term) fail(`${node.name}: the term went back from ${seen.term} to ${term}`);
    if (commit < seen.commit) fail(`${node.name}: the commit index went back from ${seen.commit} to ${commit}`);
    if (applied < seen.applied) fail(`${node.name}: the applied index went back from ${seen.applied} to ${applied}`);
    if (applied > commit) fail(`${node.name} applied ${applied}, beyond its commit index ${commit}`);
    const { revision } = machine;
    if (revision < seen.revision) fail(`${node.name}: the revision went back from ${seen.revision} to ${revision}`);
    seen.leads = leads;
    seen.term = term;
    seen.commit = commit;
    seen.applied = applied;
    seen.revision = revision;
    if (begins) this.#leads(node);
  }

  /** A process ended: its successor is another observer of the same history. */
  ended(node: SimNode): void {
    const core = node.replica?.core;
    if (core !== undefined) this.#observed.delete(core);
  }

  /** Log matching: an entry is named by index and term, and whoever has it has the same entry before it. */
  appended(node: SimNode, entries: readonly Entry[]): void {
    const core = node.replica?.core;
    const first = entries[0];
    if (first === undefined) return;
    let previousTerm = core?.termAt(first.index - 1);
    for (const entry of entries) {
      const key = entry.index * TERMS_MAX + entry.term;
      const fingerprint = fingerprintOf(entry);
      const known = this.#appended.get(key);
      if (known === undefined) this.#appended.set(key, { fingerprint, previousTerm });
      else if (known.fingerprint !== fingerprint)
        fail(`Log matching: ${node.name} has another entry ${entry.index} of term ${entry.term} than there was before`);
      else if (known.previousTerm !== undefined && previousTerm !== undefined && known.previousTerm !== previousTerm)
        fail(`Log matching: the logs with entry ${entry.index} of term ${entry.term} differ before it`);
      previousTerm = entry.term;
    }
  }

  /**
   * An entry was applied. All replicas apply the same one at an index, and a majority of voters has it on disk.
   *
   * @returns whether nobody had applied it before
   */
  applied(node: SimNode, entry: Entry, nodes: readonly SimNode[]): boolean {
    const { index, term } = entry;
    const known = this.#applied[index];
    const fingerprint = fingerprintOf(entry);
    if (known !== undefined) {
      if (known.term === term && known.fingerprint === fingerprint) return false;
      fail(
        `State-machine safety: ${node.name} applied another entry at index ${index} (term ${term}) than was applied before (term ${known.term})`,
      );
    }
    this.#applied[index] = { term, fingerprint };
    if (entry.type === "configuration") this.#lastChange = index;
    if (this.#lastChange > 0 && index <= this.#lastChange + CHANGE_WINDOW_ENTRIES) return true;
    const voters = node.replica?.core.status().configuration.voters ?? [];
    const holders = nodes.filter((each) => voters.includes(each.memberId) && each.witness.holds(index, term));
    // A disk that was lost held it perhaps, and vouched for it before.
    const lost = nodes.filter((each) => each.damagedIn !== undefined);
    if (2 * (holders.length + lost.length) <= voters.length)
      fail(`Durability: ${node.name} applied entry ${index}, which ${holders.length} of ${voters.length} disks hold`);
    return true;
  }

  /** Leader completeness and election safety, when a leader begins: one a term, and it has all that was ever committed. */
  #lead(member: MemberId, core: RaftCore): void {
    const leader = this.#leaders.get(core.term) ?? member;
    if (leader !== member) fail(`Election safety: ${leader} and ${member} lead in term ${core.term}`);
    this.#leaders.set(core.term, leader);
    if (!core.status().configuration.voters.includes(member)) fail(`${member} leads and is no voter`);
    const last = this.#applied.at(-1);
    const index = this.#applied.length - 1;
    if (last === undefined || last.term >= core.term) return;
    const term = core.termAt(index);
    if (term !== last.term && index >= core.status().firstIndex)
      fail(`Leader completeness: ${member} leads in term ${core.term} without entry ${index} of term ${last.term}`);
  }
}

export class InvariantViolation extends Error {
  constructor(message: string) {
    super(message);
    this.name = "InvariantViolation";
  }
}

function fail(message: string): never {
  throw new InvariantViolation(message);
}

function fingerprintOf(entry: Entry): number {
  let hash = entry.type === "configuration" ? 1 : 0;
  for (let at = 0; at < entry.data.length; at += 1) hash = (Math.imul(hash, 31) + (entry.data[at] ?? 0)) | 0;
  return hash;
}
