import { lookPeriodically } from "./periodic.ts";
import { type Replica } from "./replica.ts";

const PERIOD_MS = 200;
const TIMEOUT_MS = 5_000;

/**
 * Raises the NOSPACE alarm through the log when this member's machine holds more than its quota. From then on writes are
 * refused everywhere; reads, deletes and compaction go on. The alarm is lowered by people, as in etcd.
 */
export class QuotaGuard {
  readonly #replica: Replica;
  readonly stop: () => void;
  #raising = false;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.stop = lookPeriodically(replica, PERIOD_MS, () => this.#look());
  }

  #look(): void {
    const { machine, memberId, logger } = this.#replica;
    const raised = machine.alarms.some(({ member }) => member === memberId);
    if (!machine.overQuota || raised || this.#raising) return;
    this.#raising = true;
    const command = { type: "alarm", action: "set", alarm: "noSpace", member: memberId } as const;
    this.#replica.propose(command, TIMEOUT_MS, (result) => {
      this.#raising = false;
      if (result.ok && result.value.ok) logger.error("The quota is exceeded; writes are refused (NOSPACE)", {});
    });
  }
}
