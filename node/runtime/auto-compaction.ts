import { lookPeriodically } from "./periodic.ts";
import { type Replica } from "./replica.ts";

/** How much history stays, decided by the leader and written to the log. */
export type AutoCompactionPolicy =
  | { readonly mode: "off" }
  | { readonly mode: "periodic"; readonly retentionMs: number }
  | { readonly mode: "revision"; readonly revisions: number };

/** Samples kept of one retention period; a compaction is late by at most one of them. */
const SAMPLES = 10;
const REVISION_PERIOD_MS = 60_000;
/** The shortest time between two looks. */
const PERIOD_MIN_MS = 1_000;
const TIMEOUT_MS = 5_000;

interface Sample {
  readonly at: number;
  readonly revision: number;
}

/**
 * Compacts old history while this member leads. Its clock only chooses the revision; that revision goes through the log.
 * A new leader starts measuring anew, so history is kept longer after a change of leader, never shorter.
 */
export class AutoCompaction {
  readonly #replica: Replica;
  readonly #policy: AutoCompactionPolicy;
  #samples: Sample[] = [];
  readonly stop: () => void;

  constructor(replica: Replica, policy: AutoCompactionPolicy) {
    this.#replica = replica;
    this.#policy = policy;
    const periodMs =
      policy.mode === "periodic" ? Math.max(PERIOD_MIN_MS, policy.retentionMs / SAMPLES) : REVISION_PERIOD_MS;
    this.stop = policy.mode === "off" ? () => undefined : lookPeriodically(replica, periodMs, () => this.#look());
  }

  #look(): void {
    const { machine, inOffice, environment, logger } = this.#replica;
    if (!inOffice) {
      this.#samples = [];
      return;
    }
    const revision = this.#due(environment.now(), machine.revision);
    if (revision === undefined || revision <= Math.max(machine.compactRevision, 1)) return;
    this.#replica.propose({ type: "compact", revision }, TIMEOUT_MS, (result) => {
      if (result.ok && result.value.ok) logger.info("Compacted history", { revision });
      else logger.warn("Compaction failed and is tried again", { revision });
    });
  }

  #due(now: number, revision: number): number | undefined {
    if (this.#policy.mode === "revision") return revision - this.#policy.revisions;
    if (this.#policy.mode === "off") return undefined;
    const { retentionMs } = this.#policy;
    this.#samples.push({ at: now, revision });
    const old = this.#samples.filter((sample) => sample.at <= now - retentionMs);
    this.#samples = this.#samples.slice(Math.max(0, old.length - 1));
    return old.at(-1)?.revision;
  }
}
