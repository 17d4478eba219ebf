import { ConcordError } from "../../node/client/errors.ts";
import { type Prng } from "../support/prng.ts";
import { type SimNode } from "./node.ts";
import { type Simulation } from "./simulation.ts";

/** A killed process comes back after this long, on average. */
const DOWN_MEAN_MS = 400;
const PARTITION_MEAN_MS = 800;
const PAUSE_MAX_MS = 1_500;
/** A second power loss follows a kill this often: what a killed process wrote is still volatile. */
const POWER_AFTER_KILL = 0.3;

/** What befalls the cluster, drawn from the seed. Damage befalls one log at most: there is always a good copy. */
export class Faults {
  readonly #simulation: Simulation;
  readonly #random: Prng;
  #running = false;
  crashes = 0;

  constructor(simulation: Simulation, random: Prng) {
    this.#simulation = simulation;
    this.#random = random;
  }

  start(): void {
    const { settings } = this.#simulation;
    this.#running = true;
    this.#every(settings.crashEveryMs, () => this.#crash(this.#anyUp(), "kill"));
    this.#every(settings.powerLossEveryMs, () => this.#crash(this.#anyUp(), "power"));
    this.#every(settings.partitionEveryMs, () => this.#partition());
    this.#every(settings.pauseEveryMs, () => this.#pause());
    this.#every(settings.compactEveryMs, () => this.#compact());
    this.#every(settings.transferEveryMs, () => this.#transfer());
    this.#every(settings.blackoutEveryMs, () => this.#blackout());
    if (settings.damage) this.#after(settings.durationMs * this.#random.float(), () => this.#damage());
  }

  stop(): void {
    this.#running = false;
  }

  /** A process ended by itself. It is started again, as a supervisor would. */
  ended(node: SimNode, error: Error): void {
    if (ConcordError.is(error) && error.code === "CONCORD_MEMBER_LOST_DATA") throw error;
    this.#restartLater(node);
  }

  #every(meanMs: number, fault: () => void): void {
    if (!Number.isFinite(meanMs)) return;
    const next = (): void => {
      this.#after(-Math.log(1 - this.#random.float()) * meanMs, () => {
        fault();
        next();
      });
    };
    next();
  }

  #after(delayMs: number, run: () => void): void {
    this.#simulation.clock.schedule(delayMs, () => {
      if (this.#running) run();
    });
  }

  #anyUp(): SimNode | undefined {
    const up = this.#simulation.nodes.filter((node) => node.up);
    if (up.length === 0) return undefined;
    // Leaders are hit more often: most bugs live there.
    const leader = up.find((node) => node.replica?.status.role === "leader");
    return leader !== undefined && this.#random.chance(0.4) ? leader : this.#random.pick(up);
  }

  #crash(node: SimNode | undefined, how: "kill" | "power"): void {
    if (node === undefined || !node.up) return;
    this.crashes += 1;
    this.#simulation.note(`fault: ${how} ${node.name}`);
    node.kill(how);
    if (how === "kill" && this.#random.chance(POWER_AFTER_KILL)) {
      // It comes back for a moment, works with what it found, and then the power fails.
      node.start(this.#simulation.founding);
      this.#after(this.#random.float() * 100, () => this.#crash(node, "power"));
    }
    this.#restartLater(node);
  }

  #restartLater(node: SimNode): void {
    const pause = -Math.log(1 - this.#random.float()) * DOWN_MEAN_MS;
    this.#simulation.clock.schedule(pause, () => node.start(this.#simulation.founding));
  }

  #blackout(): void {
    const how = this.#random.chance(0.5) ? "kill" : "power";
    this.#simulation.note(`fault: all ${how}`);
    for (const node of this.#simulation.nodes) this.#crash(node, how);
  }

  #partition(): void {
    const { network, nodes } = this.#simulation;
    const oneWay = this.#random.chance(0.3);
    const side = new Set(nodes.filter(() => this.#random.chance(0.5)).map(({ address }) => address));
    this.#simulation.note(`fault: partition ${[...side].join(" ")}${oneWay ? " (one way)" : ""}`);
    for (const { address: from } of nodes)
      for (const { address: to } of nodes) {
        if (side.has(from) === side.has(to)) continue;
        if (!oneWay || side.has(from)) network.block(from, to);
      }
    this.#after(-Math.log(1 - this.#random.float()) * PARTITION_MEAN_MS, () => network.heal());
  }

  #pause(): void {
    const node = this.#anyUp();
    if (node === undefined) return;
    const durationMs = this.#random.float() * PAUSE_MAX_MS;
    this.#simulation.note(`fault: pause ${node.name} for ${durationMs.toFixed(0)} ms`);
    node.process.pause(durationMs);
  }

  #compact(): void {
    const replica = this.#anyUp()?.replica;
    const revision = (replica?.machine.revision ?? 0) - this.#random.below(20);
    if (revision > 1) replica?.propose({ type: "compact", revision }, 1_000, () => undefined);
  }

  #transfer(): void {
    const leader = this.#simulation.nodes.find((node) => node.replica?.status.role === "leader")?.replica;
    leader?.membership.request({ type: "transfer", to: "" }, 1_000, () => undefined);
  }

  /** Flips one bit somewhere in the log of one machine that is not the only one. */
  #damage(): void {
    const { nodes } = this.#simulation;
    const node = this.#random.pick(nodes);
    if (nodes.length < 3) return;
    if (node.up) node.kill("kill");
    const path = this.#random.pick(node.disk.paths().filter((each) => each.includes("/log/")));
    const used = lastUsedByte(node.disk.read(path));
    if (used === 0) return;
    this.#simulation.note(`fault: damage ${node.name} ${path}`);
    node.disk.flipBit(path, this.#random.below(used), this.#random.below(8));
    this.#restartLater(node);
  }
}

function lastUsedByte(bytes: Uint8Array): number {
  for (let at = bytes.length - 1; at >= 0; at -= 1) if (bytes[at] !== 0) return at + 1;
  return 0;
}
