import { type Settings } from "./settings.ts";

/** Never, as JSON can say it. */
const NEVER = 1e12;

/** A majority goes on without a leader that sleeps, is cut off, and is asked as soon as it wakes. */
const SLEEPING_LEADERS: Partial<Settings> = {
  nodes: 3,
  clients: 6,
  keys: 2,
  thinkMs: 5,
  durationMs: 10_000,
  pauseEveryMs: 400,
  partitionEveryMs: 600,
  crashEveryMs: NEVER,
  powerLossEveryMs: NEVER,
  blackoutEveryMs: NEVER,
  membershipEveryMs: NEVER,
  lossEveryMs: NEVER,
};

/**
 * Broken variants of the product, as changes of its source: a simulator that does not find them would not find a bug of
 * the same kind either. There is no switch for them anywhere.
 */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Stands exactly once in `file`, so that a mutant cannot go stale unnoticed. */
  readonly find: string;
  readonly replace: string;
  /** What breaks. */
  readonly why: string;
  /** A seed that found it; undefined while none is known. */
  readonly seed: number | undefined;
  /** What the runs must be like, where only few runs can show it. */
  readonly settings?: Partial<Settings>;
  /** Name of the scenario that is played, where chance does not lead there. */
  readonly scenario?: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "recovered-tail-not-synced",
    file: "node/storage/wal/segment-pool.ts",
    find: "    file.syncSync();\n",
    replace: "",
    why: "The last group, found after a kill, is taken for durable although it only stands in the page cache",
    seed: 1,
  },
  {
    name: "damage-truncated",
    file: "node/storage/wal/recover.ts",
    find: `if (segment.end.type === "damaged") throw new DamageFound(segment.name, segment.end.offset, segment.end.reason);`,
    replace: "",
    why: "A damaged log is cut and the member goes on under its old id",
    seed: 32,
  },
  {
    name: "vote-not-durable",
    file: "node/raft/state.ts",
    find: "if (this.hardStateIsDurable() && index <= this.log.durable)",
    replace: "if (index <= this.log.durable)",
    why: "A vote is given before it is durable: after a crash the same member votes again in the term",
    seed: 43,
  },
  {
    name: "votes-for-shorter-log",
    file: "node/raft/voting.ts",
    find: "mayVoteFor(state, from, message) && state.log.isUpToDate(message.lastIndex, message.lastTerm);",
    replace: "mayVoteFor(state, from, message);",
    why: "A candidate whose log lacks committed entries can win (paper, 5.4.1)",
    seed: 2,
  },
  {
    name: "commits-older-terms",
    file: "node/raft/replication.ts",
    find: "index <= log.commit || log.termAt(index) !== state.term",
    replace: "index <= log.commit",
    why: "Entries of an older term are committed by counting (paper, figure 8)",
    seed: 1,
    scenario: "figure-8",
  },
  {
    name: "read-without-quorum",
    file: "node/raft/leader.ts",
    find: "leadership.reads.acknowledge(leadership.reads.round, state.id);",
    replace:
      "for (const voter of state.configuration.voters) leadership.reads.acknowledge(leadership.reads.round, voter);",
    why: "A deposed leader answers reads from its old state",
    seed: 7,
    settings: SLEEPING_LEADERS,
  },
  {
    name: "sync-skipped",
    file: "test/support/sim-mount.ts",
    find: "complete(this.#sync())",
    replace: "complete(undefined)",
    why: "Groups are reported durable without a sync",
    seed: 1,
  },
  {
    name: "change-before-commit-in-term",
    file: "node/raft/proposals.ts",
    find: `  if (!hasCommittedInTerm(state)) return "notCommittedInTerm";
  if (state.log.unappliedConfiguration !== undefined) return "configurationPending";
`,
    replace: "",
    why: "A change of the membership begins while it is undecided whether there is another one (Ongaro, 2015)",
    seed: 4,
    scenario: "change-before-commit",
  },
  {
    name: "entries-acknowledged-early",
    file: "node/raft/state.ts",
    find: "if (this.hardStateIsDurable() && index <= this.log.durable)",
    replace: "if (this.hardStateIsDurable())",
    why: "A follower vouches for entries that are not durable",
    seed: 8,
  },
  {
    name: "late-append-cuts",
    file: "node/raft/log.ts",
    find: "        if (this.termAt(entry.index) === entry.term) continue;\n",
    replace: "",
    why: "A late or repeated request cuts entries that were vouched for",
    seed: 34,
  },
  {
    name: "heartbeat-commits-beyond-match",
    file: "node/raft/leader.ts",
    find: "const commit: Index = Math.min(state.log.commit, progress.match);",
    replace: "const commit: Index = state.log.commit;",
    why: "A follower commits entries of its own that the leader never had",
    seed: 2,
  },
  {
    name: "read-before-apply",
    file: "node/runtime/read-requests.ts",
    find: "if (confirmed.index > index) rest.push(confirmed);",
    replace: "if (confirmed.index > index + 1) rest.push(confirmed);",
    why: "A confirmed read is answered one entry too early",
    seed: 10,
  },
  {
    name: "outcome-of-another-entry",
    file: "node/runtime/proposals.ts",
    find: "if (waiting.term === term && outcome !== undefined)",
    replace: "if (outcome !== undefined)",
    why: "A write is answered with what became of the entry that took its place",
    seed: 31,
  },
  {
    name: "request-numbers-restart",
    file: "node/runtime/environment.ts",
    find: "return environment.random(2 ** 31) * 2 ** 20 + 1;",
    replace: "return 1;",
    why: "The answer to a request of a process that is gone is taken for one to its successor",
    seed: undefined,
  },
  {
    name: "lost-request-failed",
    file: "node/runtime/proposals.ts",
    find: `failed("CONCORD_OUTCOME_UNKNOWN", CONNECTION_LOST)`,
    replace: `failed("CONCORD_NO_LEADER", CONNECTION_LOST)`,
    why: "A write that may be in the leader's log is called failed",
    seed: 1,
  },
  {
    name: "forwarded-key-forgotten",
    file: "node/runtime/forwarding.ts",
    find: "        command: encodeProposal(proposal),\n",
    replace: "        command: encodeProposal({ command: proposal.command }),\n",
    why: "A write that a follower hands on loses its idempotency key, and its retry is done again",
    settings: { keyedClients: 3 },
    seed: 1,
  },
  {
    name: "known-key-done-again",
    file: "node/machine/idempotent.ts",
    find: "  const record = records.find(idempotency.key, nowSeconds);\n",
    replace: "  const record = nowSeconds < 5 ? records.find(idempotency.key, nowSeconds) : undefined;\n",
    why: "A key is not looked up once the cluster is some seconds old",
    settings: { keyedClients: 3 },
    seed: 2,
  },
  {
    name: "commit-index-forgotten",
    file: "node/raft/state.ts",
    find: "new RaftLog(snapshot, entries, applied, hardState.commit)",
    replace: "new RaftLog(snapshot, entries, applied)",
    why: "A restarted member counts by the configuration of its checkpoint",
    seed: 1,
  },
  {
    name: "wiped-disk-waits",
    file: "node/runtime/founding.ts",
    find: "if (known === undefined || known.id === NONE ||",
    replace: "if (known === undefined || known.id !== NONE ||",
    why: "A member with an empty disk waits in silence instead of saying that its data is gone",
    seed: 1,
  },
  {
    name: "damaged-page-ends-the-process",
    file: "node/runtime/recovery.ts",
    find: "        unreadable = String(error);\n      }\n    },\n",
    replace: "        throw error;\n      }\n    },\n",
    why: "One flipped bit in a checkpoint keeps a member down for good",
    seed: 75,
  },
  {
    name: "founding-lists-compared-for-ever",
    file: "node/transport/admission.ts",
    find: `const founded = identity.clusterId !== "" || asked.clusterId !== "";`,
    replace: `const founded = identity.clusterId !== "";`,
    why: "A member with another founding list cannot be added to a founded cluster",
    seed: 5,
  },
  {
    name: "votes-silent-about-commits",
    file: "node/raft/voting.ts",
    find: "  log.commitTo(index);\n",
    replace: "",
    why: "A member waits for ever for the vote of one of a configuration that is over",
    seed: undefined,
  },
  {
    name: "checkpoint-name-given-out-again",
    file: "node/runtime/checkpoint-slots.ts",
    find: "numberOf(directory) + 1);",
    replace: "this.#factory.list().includes(directory) ? numberOf(directory) + 1 : 0);",
    why: "A snapshot that is half taken stands under the name that the log has for a lost checkpoint",
    settings: { keyedClients: 0 },
    seed: 1401,
  },
  {
    name: "renewed-lease-expires",
    file: "node/machine/lease-commands.ts",
    find: "if (lease?.deadlineMs !== command.deadlineMs || lease.deadlineMs > nowMs) return",
    replace: "if (lease === undefined) return",
    why: "A lease that was renewed while its end was on the way ends all the same",
    seed: 23,
  },
  {
    name: "touched-row-expires",
    file: "node/machine/expire-rows.ts",
    find: "endMs <= store.nowMs && store.ends.working(slot) === endMs",
    replace: "endMs <= store.nowMs && store.ends.working(slot) !== 0",
    why: "A row that was touched while its end was on the way ends all the same",
    settings: { rowHolders: 2 },
    seed: 2,
  },
  {
    name: "cluster-time-of-own-clock",
    file: "node/runtime/stamps.ts",
    find: "this.#base.clusterTimeMs + elapsed",
    replace: "Math.floor(this.#environment.now())",
    why: "A new leader's clock runs ahead of its predecessor's, and leases end early",
    seed: 1,
  },
  {
    name: "renewals-not-in-the-log",
    file: "node/machine/lease-commands.ts",
    find: "  leases.set(lasting(id, lease.ttlSeconds, nowMs));\n  return lease.ttlSeconds;",
    replace: "  return lease.ttlSeconds;",
    why: "A renewal is answered and forgotten",
    seed: 1,
  },
  {
    name: "installed-snapshot-without-log",
    file: "node/raft/log.ts",
    find: "      this.#baseTerm = meta.term;\n      this.#slots = [];",
    replace: "      this.#baseTerm = meta.term - 1;\n      this.#slots = [];",
    why: "Behind an installed snapshot the log claims another history",
    seed: 1,
  },
];
