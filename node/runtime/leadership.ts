import { NONE } from "../raft/types.ts";
import { type Seen } from "./replica-events.ts";
import { type Replica } from "./replica.ts";
import { LeaderClock } from "./stamps.ts";

/** A leader that handed over answers the writes it was sent within a round trip; a cut-off one never does, ms. */
const FORMER_LEADER_MS = 250;

/** Follows role, term and leader, a look a turn; takes and leaves office. */
export class Leadership {
  readonly #replica: Replica;
  readonly #onLost: () => void;
  readonly #listeners = new Set<() => void>();
  /** As the last look found it. */
  #seen: Seen;
  #clock: LeaderClock | undefined;

  /** @param onLost this member led, and another one does */
  constructor(replica: Replica, onLost: () => void) {
    this.#replica = replica;
    this.#onLost = onLost;
    const { role, term, leader } = replica.core;
    this.#seen = { role, term, leader };
  }

  /** Of a leader in office; it stamps entries. */
  get clock(): LeaderClock | undefined {
    return this.#clock;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  observe(): void {
    const { core, machine, environment, logger, events } = this.#replica;
    const before = this.#seen;
    const { role, term, leader } = core;
    const changed = role !== before.role || term !== before.term || leader !== before.leader;
    if (changed) {
      this.#seen = { role, term, leader };
      events.leadership(before, this.#seen);
    }
    if (role !== "leader") this.#clock = undefined;
    else if (this.#clock === undefined && core.termAt(machine.appliedIndex) === term) {
      const { clusterTimeMs, wallTimeMs } = machine;
      this.#clock = new LeaderClock(environment, { clusterTimeMs, wallTimeMs });
      logger.info("Took office as leader", { term, appliedIndex: core.applied });
      events.election("office", term);
      this.#notify();
    }
    if (!changed) return;
    if (before.leader !== leader) this.#leaderChanged(before);
    this.#notify();
  }

  #leaderChanged(before: Seen): void {
    const { memberId, proposals, membership, environment, logger } = this.#replica;
    if (before.leader !== NONE && before.leader !== memberId) {
      proposals.leaderChanged(before.leader, environment.now() + FORMER_LEADER_MS);
      membership.lost(before.leader);
    }
    if (before.role === "leader") this.#onLost();
    logger.info("Leader changed", { ...this.#seen });
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
