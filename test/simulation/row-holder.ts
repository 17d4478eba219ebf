import { type Command } from "../../node/machine/commands.ts";
import { type Machine } from "../../node/machine/machine.ts";
import { type Prng } from "../support/prng.ts";
import { InvariantViolation } from "./invariants.ts";
import { LEASE_PREFIX } from "./lease-holder.ts";
import { type Simulation } from "./simulation.ts";

const TIMEOUT_MS = 1_000;
const LAST_MOMENT_MS = 40;

/**
 * Keeps a row that has a time to live: puts it, touches it for a while, often in the last moment, and then stays away
 * until it is gone. Before the end that it was last told, counted from its request, the row must stay (D9: never early).
 * The time is always the same, so that a write of unknown outcome can make the end later only.
 */
export class RowHolder {
  readonly #simulation: Simulation;
  readonly #random: Prng;
  readonly #key: Uint8Array;
  readonly #ttlMs: number;
  /** Undefined: nothing was promised. */
  #untilMs: number | undefined;
  #running = false;

  constructor(simulation: Simulation, name: string, random: Prng) {
    this.#simulation = simulation;
    this.#random = random;
    this.#key = Buffer.from(`${LEASE_PREFIX}row-${name}`);
    this.#ttlMs = random.between(800, 4_000);
  }

  start(): void {
    this.#running = true;
    this.#put();
  }

  stop(): void {
    this.#running = false;
  }

  /** `machine` has applied more than any before it. */
  check(machine: Machine): void {
    if (this.#untilMs === undefined || this.#simulation.clock.now >= this.#untilMs) return;
    const result = machine.get(this.#key);
    if (result.ok && result.reply.type === "range" && result.reply.rows.length === 1) return;
    const early = this.#untilMs - this.#simulation.clock.now;
    throw new InvariantViolation(`A row ended ${early.toFixed(0)} ms before its time`);
  }

  #put(): void {
    if (!this.#running) return;
    const rest = { lease: 0n, previous: false, ignoreValue: false, ignoreLease: false } as const;
    this.#call({ type: "put", key: this.#key, value: this.#key, ttlMs: this.#ttlMs, ...rest }, (done) => {
      if (done) this.#touch(this.#random.below(8));
      else this.#later(200, () => this.#put());
    });
  }

  #touch(times: number): void {
    if (times === 0 || !this.#running) {
      this.#later(this.#ttlMs * (0.5 + this.#random.float()), () => this.#put());
      return;
    }
    const left = (this.#untilMs ?? 0) - this.#simulation.clock.now;
    const wait = this.#random.chance(0.5)
      ? Math.max(0, left - this.#random.float() * LAST_MOMENT_MS)
      : this.#random.float() * this.#ttlMs * 0.8;
    this.#simulation.clock.schedule(wait, () => {
      this.#call({ type: "touch", key: this.#key, ttlMs: this.#ttlMs }, () => this.#touch(times - 1));
    });
  }

  #call(command: Command, done: (ok: boolean) => void): void {
    const { clock, nodes, settings } = this.#simulation;
    const untilMs = clock.now + this.#ttlMs / (1 + settings.driftMax);
    const up = nodes.flatMap(({ replica }) => (replica === undefined || replica.stopped ? [] : [replica]));
    let open = true;
    const finish = (ok: boolean): void => {
      if (!open) return;
      open = false;
      if (ok) this.#untilMs = Math.max(this.#untilMs ?? 0, untilMs);
      done(ok);
    };
    clock.schedule(2 * TIMEOUT_MS, () => finish(false));
    if (up.length === 0) return;
    this.#random.pick(up).propose(command, TIMEOUT_MS, (result) => {
      const reply = result.ok && result.value.ok ? result.value.reply : undefined;
      finish(reply?.type === "put" || (reply?.type === "touch" && reply.touched));
    });
  }

  #later(meanMs: number, run: () => void): void {
    this.#simulation.clock.schedule(meanMs * (0.5 + this.#random.float()), run);
  }
}
