import { type Environment } from "./environment.ts";

/** The two stamps of an entry, see D9. */
export interface Stamps {
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
}

/**
 * A leader's clock. Cluster time goes on from the last stamp before this leader by its monotonic clock, so it never runs
 * back and stands still while there is no leader.
 */
export class LeaderClock {
  readonly #environment: Environment;
  readonly #base: Stamps;
  readonly #startedAt: number;
  #last: Stamps;

  /** `base`: the stamps of the last entry before this leader's first. */
  constructor(environment: Environment, base: Stamps) {
    this.#environment = environment;
    this.#base = base;
    this.#startedAt = environment.now();
    this.#last = base;
  }

  stamps(): Stamps {
    const elapsed = Math.max(0, Math.floor(this.#environment.now() - this.#startedAt));
    this.#last = {
      clusterTimeMs: Math.max(this.#last.clusterTimeMs, this.#base.clusterTimeMs + elapsed),
      wallTimeMs: Math.max(this.#last.wallTimeMs, Math.floor(this.#environment.wallTime())),
    };
    return this.#last;
  }
}
