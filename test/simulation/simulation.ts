import { type Entry } from "../../node/raft/types.ts";
import { type Machine } from "../../node/machine/machine.ts";
import { type Change, History } from "../support/checkers/history.ts";
import { Prng } from "../support/prng.ts";
import { SimClock } from "../support/sim-clock.ts";
import { SimNetwork } from "../support/sim-network.ts";
import { Administrator } from "./administrator.ts";
import { Client } from "./client.ts";
import { Faults } from "./faults.ts";
import { Invariants, InvariantViolation } from "./invariants.ts";
import { LEASE_PREFIX, LeaseHolder } from "./lease-holder.ts";
import { addressOf, SimNode } from "./node.ts";
import { RowHolder } from "./row-holder.ts";
import { CALM, drawSettings, type Settings } from "./settings.ts";
import { type Scenario, Stage } from "./stage.ts";

export interface RunResult {
  readonly seed: string;
  readonly settings: Settings;
  readonly simulatedMs: number;
  readonly events: number;
  readonly acknowledged: number;
  readonly failed: number;
  readonly unknown: number;
  readonly crashes: number;
  readonly entries: number;
  /** The scenario came to its point. */
  readonly played: boolean;
  /** Equal for two runs in which the same happened at the same time. */
  readonly traceHash: string;
}

export interface RunOptions {
  /** Prints what happens. */
  readonly verbose?: boolean;
  /** Instead of what the seed draws. */
  readonly settings?: Partial<Settings>;
  /** Instead of clients and faults by chance. */
  readonly scenario?: Scenario | undefined;
}

/** What went wrong, with everything that is needed to see it again. */
export class SimulationFailure extends Error {
  readonly seed: string;
  readonly trace: readonly string[];

  constructor(seed: string, atMs: number, cause: unknown, trace: readonly string[]) {
    super(`seed ${seed}, at ${atMs.toFixed(1)} ms: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.name = "SimulationFailure";
    this.seed = seed;
    this.trace = trace;
  }
}

/** The cluster must be whole and agree this long after the last fault, simulated ms. */
const LIVENESS_MS = 60_000;
const FOUNDING_MS = 60_000;
const TRACE_LINES = 400;
/** Calls of each key for which an order is searched. */
const SAMPLE_CALLS = 40;
const GOOD_NETWORK = {
  delayMinMs: 0.1,
  delayMeanMs: 0.5,
  lossProbability: 0,
  replayProbability: 0,
  corruptProbability: 0,
};
const ALL = { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]) };

/** One run: a cluster, its clients and its bad luck, all from one seed. */
export class Simulation {
  readonly seed: string;
  readonly clock = new SimClock();
  readonly random: Prng;
  readonly settings: Settings;
  readonly network: SimNetwork;
  readonly nodes: readonly SimNode[];
  readonly history = new History();
  readonly administrator: Administrator;
  readonly #invariants = new Invariants((node) => this.#faults.leaderBegan(node));
  readonly #changes: Change[] = [];
  readonly #trace: string[] = [];
  readonly #clients: readonly Client[];
  readonly #holders: readonly (LeaseHolder | RowHolder)[];
  readonly #faults: Faults;
  readonly #verbose: boolean;
  readonly #scenario: Scenario | undefined;
  #played = false;
  #lastRevision = 1;
  #traceHash = 0x811c9dc5;
  #failure: Error | undefined;

  constructor(seed: string, options: RunOptions = {}) {
    this.seed = seed;
    this.#verbose = options.verbose ?? false;
    this.#scenario = options.scenario;
    this.random = new Prng(seed);
    const directed = this.#scenario === undefined ? {} : { ...CALM, ...this.#scenario.settings };
    this.settings = { ...drawSettings(this.random.fork("settings")), ...directed, ...options.settings };
    this.network = new SimNetwork(this.clock, this.random.fork("network"), this.settings.network);
    this.nodes = this.#makeNodes();
    const founders = this.nodes.slice(0, this.settings.nodes);
    this.administrator = new Administrator(this, this.random.fork("administrator"), founders);
    for (const node of this.nodes) node.disk.faults.delayMs = this.settings.syncDelayMs;
    this.#clients = Array.from({ length: this.settings.clients }, (_, position) => {
      const keyed = position < this.settings.keyedClients;
      return new Client(this, `c${position}`, { keyed, random: this.random.fork(`client-${position}`) });
    });
    this.#holders = [
      ...Array.from(
        { length: this.settings.leaseHolders },
        (_, position) => new LeaseHolder(this, `h${position}`, this.random.fork(`holder-${position}`)),
      ),
      ...Array.from(
        { length: this.settings.rowHolders },
        (_, position) => new RowHolder(this, `r${position}`, this.random.fork(`row-holder-${position}`)),
      ),
    ];
    this.#faults = new Faults(this, this.random.fork("faults"));
  }

  /** @throws SimulationFailure */
  run(): RunResult {
    try {
      const { network, administrator } = this;
      for (const node of administrator.wanted) node.start();
      const bad = network.faults;
      network.faults = { ...bad, lossProbability: 0, replayProbability: 0, corruptProbability: 0 };
      this.#until("the cluster is founded", FOUNDING_MS, () =>
        [...administrator.wanted].every((node) => node.member?.state === "running"),
      );
      network.faults = bad;
      if (this.#scenario === undefined) this.#befall();
      else this.#play(this.#scenario);
      this.#converge();
      this.history.check(this.#changes);
      this.history.checkSamples(SAMPLE_CALLS);
    } catch (error) {
      throw new SimulationFailure(this.seed, this.clock.now, error, this.#trace);
    }
    return {
      seed: this.seed,
      settings: this.settings,
      simulatedMs: this.clock.now,
      events: this.clock.events,
      acknowledged: this.history.count("ok"),
      failed: this.history.count("failed"),
      unknown: this.history.count("unknown"),
      crashes: this.#faults.crashes,
      entries: this.#invariants.appliedCount,
      played: this.#played,
      traceHash: this.#traceHash.toString(16),
    };
  }

  note(line: string): void {
    const text = `${this.clock.now.toFixed(2)} ${line}`;
    for (let at = 0; at < text.length; at += 1) this.#mix(text.charCodeAt(at));
    if (this.#verbose) process.stderr.write(`${text}\n`);
    this.#trace.push(text);
    if (this.#trace.length > TRACE_LINES) this.#trace.shift();
  }

  /** Clients at work, while faults happen. */
  #befall(): void {
    this.administrator.start();
    for (const client of [...this.#clients, ...this.#holders]) client.start();
    this.#faults.start();
    const end = this.clock.now + this.settings.durationMs;
    this.#until("", Infinity, () => this.clock.now >= end);
    this.#faults.stop();
    for (const client of [...this.#clients, ...this.#holders]) client.stop();
  }

  /** Nothing but the scenario, until it came to its point once. */
  #play(scenario: Scenario): void {
    const stage = new Stage(this.nodes, this.clock, this.network);
    const end = this.clock.now + this.settings.durationMs;
    while (!this.#played && this.clock.now < end) {
      const script = scenario.play(stage);
      let step = script.next();
      while (step.done !== true) {
        const { value } = step;
        this.#until("", Infinity, value, 0);
        step = script.next();
      }
      this.#played = step.value;
      this.note(`-- ${scenario.name}: ${step.value ? "played" : "not to its end"} --`);
      this.network.heal();
      for (const node of this.administrator.wanted) node.start();
    }
    this.administrator.start();
  }

  /** All faults end; every node starts; a write succeeds and all members come to hold the same. */
  #converge(): void {
    this.note("-- liveness --");
    this.network.heal();
    this.network.faults = GOOD_NETWORK;
    for (const node of this.nodes) {
      Object.assign(node.disk.faults, { delayMs: [0.05, 0.3], spaceBytes: Infinity, syncFails: 0, slowSyncs: 0 });
      if (this.administrator.wanted.has(node) && !node.removed && !node.lostData) node.start();
    }
    const writer = new Client(this, "last", { keyed: false, random: this.random.fork("last") });
    let written = false;
    writer.writeUntilAcknowledged(() => {
      written = true;
    });
    this.#until("a write succeeds", LIVENESS_MS, () => written);
    this.#until("no lease is left", LIVENESS_MS, () => this.#withoutLeases());
    this.#until("all members agree", LIVENESS_MS, () => this.#agree());
  }

  /** Nobody renews them any more. */
  #withoutLeases(): boolean {
    const replicas = [...this.administrator.wanted].map(({ replica }) => replica);
    return replicas.every((replica) => replica?.machine.leases.count === 0);
  }

  #agree(): boolean {
    const hashes = new Set<string>();
    const { administrator } = this;
    if (!administrator.isCalm) return false;
    const replicas = [...administrator.wanted].map(({ replica }) => replica);
    for (const replica of replicas) {
      if (replica === undefined || replica.machine.clusterId === "") return false;
      const { machine, core } = replica;
      if (core.status().configuration.voters.length !== replicas.length) return false;
      if (core.applied !== core.commit || !replica.betweenEntries) return false;
      // Compactions and changes of the membership move no revision.
      if (machine.revision !== this.#lastRevision || core.applied !== replicas[0]?.core.applied) return false;
    }
    for (const replica of replicas) hashes.add(replica === undefined ? "" : hashOf(replica.machine));
    if (hashes.size !== 1)
      throw new InvariantViolation(`Members with equal revisions differ: ${[...hashes].join(", ")}`);
    return true;
  }

  /** Looks every `lookMs`; 0: after every event. */
  #until(what: string, withinMs: number, condition: () => boolean, lookMs = 1): void {
    const deadline = this.clock.now + withinMs;
    let nextLook = 0;
    for (;;) {
      if (this.clock.now >= nextLook) {
        if (condition()) return;
        nextLook = this.clock.now + lookMs;
      }
      if (this.clock.now > deadline)
        throw new InvariantViolation(`Liveness: not within ${withinMs} ms: ${what} (${this.#describe()})`);
      if (!this.clock.step()) throw new InvariantViolation(`Liveness: nothing happens any more, and not yet: ${what}`);
      if (this.#failure !== undefined) throw this.#failure;
      this.#observe();
    }
  }

  /** The invariants hold after every event; only what an event can have changed is asked. */
  #observe(): void {
    for (const node of this.nodes) this.#invariants.observe(node);
  }

  #mix(value: number): void {
    this.#traceHash = (Math.imul(this.#traceHash ^ value, 0x01000193) >>> 0) + 0;
  }

  #makeNodes(): SimNode[] {
    const { nodes, spares } = this.settings;
    const names = Array.from({ length: nodes + spares }, (_, position) => `n${position + 1}`);
    const founding = names.slice(0, nodes).map((name) => ({ name, peerUrls: [addressOf(name)] }));
    const world = {
      clock: this.clock,
      network: this.network,
      settings: this.settings,
      founding,
      events: {
        applied: (node: SimNode, entry: Entry, machine: Machine) => this.#onApplied(node, entry, machine),
        appended: (node: SimNode, entries: readonly Entry[]) =>
          this.#guard(() => this.#invariants.appended(node, entries)),
        ended: (node: SimNode, error: Error) => this.#onEnded(node, error),
        killed: (node: SimNode) => this.#invariants.ended(node),
        log: (node: SimNode, message: string, fields: object) =>
          this.note(`${node.name}: ${message} ${JSON.stringify(fields)}`),
      },
    };
    return names.map((name) => new SimNode(name, world, this.random.fork(name)));
  }

  /** A violation inside of a member's call ends the run, and not only the member. */
  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#failure ??= error as Error;
    }
  }

  #onApplied(node: SimNode, entry: Entry, machine: Machine): void {
    this.#mix(entry.index);
    this.#mix(this.clock.events);
    this.#guard(() => {
      const first = this.#invariants.applied(node, entry, this.nodes);
      if (first) for (const holder of this.#holders) holder.check(machine);
      if (machine.revision <= this.#lastRevision) return;
      const { events } = machine.changes(ALL, this.#lastRevision + 1, machine.revision, {
        previous: false,
        units: 1e6,
      });
      for (const { type, row } of events) {
        const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
        if (text(row.key).startsWith(LEASE_PREFIX)) continue;
        this.#changes.push({
          revision: row.modRevision,
          key: text(row.key),
          value: type === "put" ? text(row.value) : undefined,
        });
      }
      this.#lastRevision = machine.revision;
    });
  }

  #onEnded(node: SimNode, error: Error): void {
    this.note(`${node.name} ended: ${error.message}`);
    if (error.name === "InvariantError") this.#failure ??= error;
    this.#faults.ended(node);
  }

  #describe(): string {
    return this.nodes
      .map((node) => {
        const status = node.replica?.status;
        if (status === undefined) {
          const state = node.up ? (node.member?.state ?? "") : "down";
          return `${node.name} ${state}${node.lostData ? ", lost its data" : ""}${node.removed ? ", removed" : ""}`;
        }
        return `${node.name} ${status.role} term ${status.term} commit ${status.commit} applied ${status.applied} last ${status.lastIndex} voters ${status.configuration.voters.length}`;
      })
      .join("; ");
  }
}

function hashOf(machine: Machine): string {
  const task = machine.hash();
  try {
    for (;;) {
      const result = task.advance(1000);
      if (result !== undefined) return `${result.hash}@${result.revision}`;
    }
  } finally {
    task.close();
  }
}
