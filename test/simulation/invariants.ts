import { type Entry, type Term } from "../../node/raft/types.ts";

/** What every replica is asked after each event of a simulation. */
export interface WatchedReplica {
  readonly name: string;
  /** The process, so that a restarted member counts as another observer of the same history. */
  readonly incarnation: number;
  readonly memberId: string;
  readonly role: string;
  readonly term: Term;
  readonly commit: number;
  readonly applied: number;
  readonly revision: number;
}

/**
 * The cluster-wide safety properties of Raft (figure 3 of the paper) and the store's own, checked while a simulation
 * runs. What was committed once, at any replica, is remembered for good: that covers leader completeness and state-machine
 * safety across crashes.
 */
export class Invariants {
  /** Leader of each term. */
  readonly #leaders = new Map<Term, string>();
  /** Term and fingerprint of every applied entry. */
  readonly #applied: { term: Term; fingerprint: string }[] = [];
  /** Highest revision per incarnation. */
  readonly #revisions = new Map<string, number>();
  readonly #commits = new Map<string, number>();

  /** Entries applied anywhere so far. */
  get appliedCount(): number {
    return this.#applied.length;
  }

  observe(replica: WatchedReplica): void {
    const { memberId, role, term, incarnation, commit, applied, revision, name } = replica;
    if (role === "leader") {
      const leader = this.#leaders.get(term) ?? memberId;
      if (leader !== memberId) fail(`Election safety: ${leader} and ${memberId} lead in term ${term}`);
      this.#leaders.set(term, leader);
    }
    if (applied > commit) fail(`${name} applied ${applied}, beyond its commit index ${commit}`);
    const key = `${memberId}/${incarnation}`;
    if (commit < (this.#commits.get(key) ?? 0)) fail(`${name}: the commit index went back to ${commit}`);
    this.#commits.set(key, commit);
    if (revision < (this.#revisions.get(key) ?? 0)) fail(`${name}: the revision went back to ${revision}`);
    this.#revisions.set(key, revision);
  }

  /** An entry was applied. All replicas apply the same entry at the same index. */
  applied(name: string, entry: Entry): void {
    const fingerprint = fingerprintOf(entry);
    const known = this.#applied[entry.index];
    if (known === undefined) this.#applied[entry.index] = { term: entry.term, fingerprint };
    else if (known.term !== entry.term || known.fingerprint !== fingerprint)
      fail(
        `State-machine safety: ${name} applied another entry at index ${entry.index} (term ${entry.term}) than was applied before (term ${known.term})`,
      );
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

function fingerprintOf(entry: Entry): string {
  let hash = 0;
  for (const byte of entry.data) hash = (Math.imul(hash, 31) + byte) | 0;
  return `${entry.type}/${entry.data.length}/${hash}`;
}
