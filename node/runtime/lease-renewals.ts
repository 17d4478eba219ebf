import { type Outcome } from "../machine/commands.ts";
import { LEASE_RENEWALS_MAX } from "../machine/machine.ts";
import { type Replica } from "./replica.ts";
import { type Done, failed, succeeded } from "./settled.ts";

interface Renewal {
  readonly id: bigint;
  readonly timeoutMs: number;
  readonly done: Done<Outcome>;
}

/** Renewals of one turn. Beyond it: too many requests. */
const WAITING_MAX = 100_000;

/** Renewals of leases. They are writes, so that no change of leader forgets one (D9); those of one turn share an entry. */
export class LeaseRenewals {
  readonly #replica: Replica;
  #waiting: Renewal[] = [];

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** The outcome's reply has one time to live. */
  renew(id: bigint, timeoutMs: number, done: Done<Outcome>): void {
    if (this.#waiting.length >= WAITING_MAX) {
      done(failed("CONCORD_TOO_MANY_REQUESTS"));
      return;
    }
    if (this.#waiting.length === 0) this.#replica.environment.defer(() => this.#propose());
    this.#waiting.push({ id, timeoutMs, done });
  }

  #propose(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let start = 0; start < waiting.length; start += LEASE_RENEWALS_MAX) {
      const renewals = waiting.slice(start, start + LEASE_RENEWALS_MAX);
      const timeoutMs = Math.min(...renewals.map((renewal) => renewal.timeoutMs));
      const command = { type: "leaseKeepAlive", ids: renewals.map(({ id }) => id) } as const;
      this.#replica.propose(command, timeoutMs, (result) => {
        for (const [position, { done }] of renewals.entries())
          done(result.ok ? succeeded(outcomeOf(result.value, position)) : result);
      });
    }
  }
}

function outcomeOf(outcome: Outcome, position: number): Outcome {
  if (!outcome.ok || outcome.reply.type !== "leaseKeepAlive") return outcome;
  return { ...outcome, reply: { type: "leaseKeepAlive", ttls: outcome.reply.ttls.slice(position, position + 1) } };
}
