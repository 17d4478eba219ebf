import { type Prng } from "../support/prng.ts";
import { DiskFaults } from "./disk-faults.ts";
import { type SimNode } from "./node.ts";
import { type Simulation } from "./simulation.ts";

/** A killed process comes back after this long, on average. */
const DOWN_MEAN_MS = 400;
/** So often it is back at once, in the middle of what the others were about. */
const QUICK_RESTART = 0.3;
const QUICK_RESTART_MS = 20;
const STRIKE_DELAY_MAX_MS = 30;
const PARTITION_MEAN_MS = 800;
const PAUSE_MAX_MS = 1_500;
/** A second power loss follows a kill this often: what a killed process wrote is still volatile. */
const POWER_AFTER_KILL = 0.3;
const WALL_JUMP_MAX_MS = 86_400_000;

/** What befalls the cluster, drawn from the seed. */
export class Faults {
  readonly #simulation: Simulation;
  readonly #random: Prng;
  readonly #disks: DiskFaults;
  #running = false;
  crashes = 0;

  constructor(simulation: Simulation, random: Prng) {
    this.#simulation = simulation;
    this.#random = random;
    this.#disks = new DiskFaults(simulation, random.fork("disks"));
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
    this.#every(settings.diskFaultEveryMs, () => this.#troubleDisk());
    this.#every(settings.lossEveryMs, () => this.#lose());
    this.#every(settings.membershipEveryMs, () => this.#changeMembership());
    this.#every(settings.wallClockEveryMs, () => this.#jumpWallClock());
  }

  stop(): void {
    this.#running = false;
  }

  /** A process ended by itself. It is started again, as a supervisor would; not without its data, or as a stranger. */
  ended(node: SimNode): void {
    if (!node.lostData && !node.removed) this.#restartLater(node);
  }

  /** The moment in which votes are fresh: who gave one and forgets it, or leads by it and is not heard, does harm now. */
  leaderBegan(leader: SimNode): void {
    const { settings } = this.#simulation;
    if (!this.#running || !this.#random.chance(settings.strikeProbability)) return;
    const delayMs = this.#random.chance(0.5) ? 0 : this.#random.float() * STRIKE_DELAY_MAX_MS;
    this.#after(delayMs, () => this.#strike(leader));
  }

  #strike(leader: SimNode): void {
    const { network, nodes } = this.#simulation;
    this.#simulation.note(`fault: strike against ${leader.name}`);
    network.heal();
    this.#cutOff(leader, this.#exponential(PARTITION_MEAN_MS));
    for (const node of nodes) if (node !== leader && this.#random.chance(0.5)) this.#crash(node, "power");
  }

  #every(meanMs: number, fault: () => void): void {
    if (!Number.isFinite(meanMs)) return;
    const next = (): void => {
      this.#after(this.#exponential(meanMs), () => {
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

  #exponential(mean: number): number {
    return -Math.log(1 - this.#random.float()) * mean;
  }

  #anyUp(): SimNode | undefined {
    const up = this.#simulation.nodes.filter((node) => node.up);
    if (up.length === 0) return undefined;
    // Leaders are hit more often: most bugs live there.
    const leader = up.find((node) => node.leads);
    return leader !== undefined && this.#random.chance(0.4) ? leader : this.#random.pick(up);
  }

  #crash(node: SimNode | undefined, how: "kill" | "power"): void {
    if (node === undefined || !node.up) return;
    this.crashes += 1;
    this.#simulation.note(`fault: ${how} ${node.name}`);
    node.kill(how);
    if (how === "kill" && this.#random.chance(POWER_AFTER_KILL)) {
      // It comes back for a moment, works with what it found, and then the power fails.
      node.start();
      this.#after(this.#random.float() * 100, () => this.#crash(node, "power"));
    }
    this.#restartLater(node);
  }

  #restartLater(node: SimNode): void {
    const disk = node.disk;
    const down = this.#random.chance(QUICK_RESTART)
      ? this.#random.float() * QUICK_RESTART_MS
      : this.#exponential(DOWN_MEAN_MS);
    this.#simulation.clock.schedule(down, () => {
      if (!node.lostData && !node.removed && node.disk === disk) node.start();
    });
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
    this.#after(this.#exponential(PARTITION_MEAN_MS), () => network.heal());
  }

  #pause(): void {
    const node = this.#anyUp();
    if (node === undefined) return;
    const durationMs = this.#random.float() * PAUSE_MAX_MS;
    this.#simulation.note(`fault: pause ${node.name} for ${durationMs.toFixed(0)} ms`);
    node.process.pause(durationMs);
    if (this.#random.chance(0.5)) this.#cutOff(node, durationMs + this.#exponential(PARTITION_MEAN_MS));
  }

  #cutOff({ address }: SimNode, durationMs: number): void {
    const { network, nodes } = this.#simulation;
    for (const { address: other } of nodes) {
      if (other === address) continue;
      network.block(address, other);
      network.block(other, address);
    }
    this.#after(durationMs, () => network.heal());
  }

  #compact(): void {
    const replica = this.#anyUp()?.replica;
    const revision = (replica?.machine.revision ?? 0) - this.#random.below(20);
    if (revision > 1) replica?.propose({ type: "compact", revision }, 1_000, () => undefined);
  }

  #transfer(): void {
    const leader = this.#simulation.nodes.find((node) => node.leads)?.replica;
    leader?.membership.request({ type: "transfer", to: "" }, 1_000, () => undefined);
  }

  #troubleDisk(): void {
    const node = this.#anyUp();
    if (node === undefined) return;
    const end = this.#disks.trouble(node);
    this.#simulation.clock.schedule(this.#disks.troubleMs, end);
  }

  #lose(): void {
    const node = this.#disks.loss();
    if (node !== undefined) this.#restartLater(node);
  }

  /** One change at a time: somebody is missing and joins, or somebody goes, or both at once. */
  #changeMembership(): void {
    const { administrator, nodes, settings } = this.#simulation;
    const { wanted } = administrator;
    if (!administrator.isCalm) return;
    const outside = nodes.filter((node) => !wanted.has(node));
    const grows = outside.length > 0 && (wanted.size < settings.nodes || this.#random.chance(0.6));
    // Not from two to one: when the one that goes is all that knows of the commit, the other could not lead without it.
    const shrinks = wanted.size > 2 && (wanted.size > settings.nodes || this.#random.chance(0.6));
    const leader = [...wanted].find((node) => node.leads);
    if (shrinks) {
      const gone = leader !== undefined && this.#random.chance(0.4) ? leader : this.#random.pick([...wanted]);
      this.#simulation.note(`change: without ${gone.name}`);
      wanted.delete(gone);
    }
    if (grows) {
      const joins = this.#random.pick(outside);
      this.#simulation.note(`change: with ${joins.name}`);
      wanted.add(joins);
    }
  }

  #jumpWallClock(): void {
    const node = this.#anyUp();
    if (node !== undefined) node.process.wallOffset = (this.#random.float() * 2 - 1) * WALL_JUMP_MAX_MS;
  }
}
