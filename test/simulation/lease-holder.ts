import { type Command, type Outcome } from "../../node/machine/commands.ts";
import { type Settled } from "../../node/runtime/settled.ts";
import { type Machine } from "../../node/machine/machine.ts";
import { type Prng } from "../support/prng.ts";
import { InvariantViolation } from "./invariants.ts";
import { type Simulation } from "./simulation.ts";

const TIMEOUT_MS = 1_000;
const LAST_MOMENT_MS = 40;
/** Keys that hang on leases: the history of calls does not know when they go. */
export const LEASE_PREFIX = "lease/";

/** What a holder was told: its lease stays until then. */
interface Promised {
  readonly id: bigint;
  untilMs: number;
  /** It asked for the end, or does not know whether its revocation was heard. */
  revoked: boolean;
}

/**
 * Holds one lease after the other: grants it, hangs a key on it, renews it for a while, and then revokes it or stays away.
 * Before the end that it was last told, counted from its request, the lease and its key must stay (D9: never early).
 */
export class LeaseHolder {
  readonly #simulation: Simulation;
  readonly #random: Prng;
  readonly #key: Uint8Array;
  #promised: Promised | undefined;
  #running = false;

  constructor(simulation: Simulation, name: string, random: Prng) {
    this.#simulation = simulation;
    this.#random = random;
    this.#key = Buffer.from(`${LEASE_PREFIX}${name}`);
  }

  start(): void {
    this.#running = true;
    this.#grant();
  }

  stop(): void {
    this.#running = false;
  }

  /** `machine` has applied more than any before it. */
  check(machine: Machine): void {
    const promised = this.#promised;
    if (promised === undefined || promised.revoked || this.#simulation.clock.now >= promised.untilMs) return;
    if (machine.leases.get(promised.id) !== undefined) return;
    const early = promised.untilMs - this.#simulation.clock.now;
    throw new InvariantViolation(`Lease ${promised.id} ended ${early.toFixed(0)} ms before its time`);
  }

  #grant(): void {
    if (!this.#running) return;
    const id = BigInt(1 + this.#random.below(2 ** 31));
    const ttlSeconds = this.#random.between(2, 4);
    this.#call({ type: "leaseGrant", id, ttlSeconds }, ttlSeconds, (granted, untilMs) => {
      if (!granted) {
        this.#later(200, () => this.#grant());
        return;
      }
      this.#promised = { id, untilMs, revoked: false };
      const put = { type: "put", key: this.#key, value: this.#key, lease: id } as const;
      const rest = { previous: false, ignoreValue: false, ignoreLease: false } as const;
      this.#call({ ...put, ...rest }, ttlSeconds, () => this.#renew(id, ttlSeconds, this.#random.below(6)));
    });
  }

  #renew(id: bigint, ttlSeconds: number, times: number): void {
    if (times === 0 || !this.#running) {
      this.#end(id, ttlSeconds);
      return;
    }
    // Often in the last moment, while its end is being proposed.
    const left = (this.#promised?.untilMs ?? 0) - this.#simulation.clock.now;
    const wait = this.#random.chance(0.5)
      ? left - this.#random.float() * LAST_MOMENT_MS
      : this.#random.float() * ttlSeconds * 800;
    this.#simulation.clock.schedule(wait, () => {
      this.#call({ type: "leaseKeepAlive", ids: [id] }, ttlSeconds, (renewed, untilMs) => {
        if (renewed && this.#promised !== undefined) this.#promised.untilMs = Math.max(this.#promised.untilMs, untilMs);
        this.#renew(id, ttlSeconds, times - 1);
      });
    });
  }

  #end(id: bigint, ttlSeconds: number): void {
    if (this.#random.chance(0.3) && this.#promised !== undefined) {
      this.#promised.revoked = true;
      this.#call({ type: "leaseRevoke", id }, ttlSeconds, () => this.#later(100, () => this.#grant()));
    } else {
      // Left alone, it ends by itself.
      this.#later(ttlSeconds * 1_000 * (0.5 + this.#random.float()), () => this.#grant());
    }
  }

  /** `untilMs`: how long a lease of this command is promised to live, by the slowest of clocks. */
  #call(command: Command, ttlSeconds: number, done: (ok: boolean, untilMs: number) => void): void {
    const { clock, nodes, settings } = this.#simulation;
    const untilMs = clock.now + (1000 * ttlSeconds) / (1 + settings.driftMax);
    const up = nodes.flatMap(({ replica }) => (replica === undefined || replica.stopped ? [] : [replica]));
    let open = true;
    const finish = (ok: boolean): void => {
      if (!open) return;
      open = false;
      done(ok, untilMs);
    };
    clock.schedule(2 * TIMEOUT_MS, () => finish(false));
    if (up.length === 0) return;
    const replica = this.#random.pick(up);
    const answered = (result: Settled<Outcome>): void => finish(result.ok && isDone(result.value));
    const renewed = command.type === "leaseKeepAlive" ? command.ids[0] : undefined;
    if (renewed === undefined) replica.propose(command, TIMEOUT_MS, answered);
    else replica.renewals.renew(renewed, TIMEOUT_MS, answered);
  }

  #later(meanMs: number, run: () => void): void {
    this.#simulation.clock.schedule(meanMs * (0.5 + this.#random.float()), run);
  }
}

function isDone(outcome: Outcome): boolean {
  return outcome.ok && (outcome.reply.type !== "leaseKeepAlive" || (outcome.reply.ttls[0] ?? 0) > 0);
}
