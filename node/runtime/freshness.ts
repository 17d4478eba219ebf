import { type Freshness, type ReadLevel, type ReadOptions } from "./node-api.ts";
import { type Replica } from "./replica.ts";

/**
 * How old a read of this member's own state can be. Whenever a linearizable read is confirmed, everything is here that
 * was acknowledged before it began; so the state is no older than the newest of those beginnings. That needs no clock of
 * anybody else, and no trust in how long a message was on its way.
 */
export class FreshnessTracker {
  #of: Replica | undefined;
  /** Monotonic ms. */
  #freshAt = Number.NEGATIVE_INFINITY;

  /** A linearizable read that began at `beganAt` was confirmed. */
  confirmed(replica: Replica, beganAt: number): void {
    this.#freshAt = replica === this.#of ? Math.max(this.#freshAt, beganAt) : beganAt;
    this.#of = replica;
  }

  /** Whether a read of this kind has to be confirmed by a quorum first. */
  mustConfirm(replica: Replica, level: ReadLevel, options: ReadOptions): boolean {
    if (level !== "eventual") return true;
    const { minRevision = 0, maxStalenessMs = Number.POSITIVE_INFINITY } = options;
    return minRevision > replica.machine.revision || this.#stalenessMs(replica) > maxStalenessMs;
  }

  /** What to say of an answer. */
  of(replica: Replica, confirmed: boolean): Freshness {
    const { term, leader } = replica.core;
    const staleness = this.#stalenessMs(replica);
    return {
      level: !confirmed ? "eventual" : leader === replica.memberId ? "leader" : "strong",
      term,
      stalenessMs: confirmed ? 0 : staleness === Number.POSITIVE_INFINITY ? undefined : Math.ceil(staleness),
    };
  }

  #stalenessMs(replica: Replica): number {
    return replica === this.#of ? replica.environment.now() - this.#freshAt : Number.POSITIVE_INFINITY;
  }
}
