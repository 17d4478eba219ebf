import { type Prng } from "../support/prng.ts";
import { type NetworkFaults } from "../support/sim-network.ts";

/** What one run is like. Drawn from its seed, so that runs differ in kind and not only in luck. */
export interface Settings {
  /** Members of the founding list. */
  readonly nodes: number;
  /** Machines that wait to be added. */
  readonly spares: number;
  readonly clients: number;
  readonly keys: number;
  /** Pause of a client between two calls, ms. */
  readonly thinkMs: number;
  /** Length of the safety phase, in simulated ms. */
  readonly durationMs: number;
  readonly network: NetworkFaults;
  readonly driftMax: number;
  readonly segmentBytes: number;
  readonly checkpointEntries: number;
  /** Mean time between two faults of each kind, ms; Infinity for never. */
  readonly crashEveryMs: number;
  readonly powerLossEveryMs: number;
  readonly partitionEveryMs: number;
  readonly pauseEveryMs: number;
  readonly compactEveryMs: number;
  readonly transferEveryMs: number;
  /** All processes, or all machines, at once. */
  readonly blackoutEveryMs: number;
  /** Full disks, failing syncs and slow ones. */
  readonly diskFaultEveryMs: number;
  /** A log, a checkpoint or a whole disk is lost. One at a time: a copy of everything is always left. */
  readonly lossEveryMs: number;
  /** Somebody joins, leaves or is replaced. */
  readonly membershipEveryMs: number;
  readonly wallClockEveryMs: number;
  /** A new leader is cut off, and those who may have voted for it crash, this often. */
  readonly strikeProbability: number;
  /** 1: every entry travels alone. */
  readonly appendBytesMax: number;
  /** Membership requests at once. */
  readonly requestsMax: number;
  readonly syncDelayMs: readonly [number, number];
  /** Clients that hold a lease. */
  readonly leaseHolders: number;
  /** Clients that keep a row with a time to live. */
  readonly rowHolders: number;
  /** Of the clients: those that send every put with an idempotency key until it is answered. */
  readonly keyedClients: number;
}

/** Nothing happens by chance but delays: a scenario has the stage. */
export const CALM: Partial<Settings> = {
  durationMs: 10_000,
  network: { delayMinMs: 0.5, delayMeanMs: 1, lossProbability: 0, replayProbability: 0, corruptProbability: 0 },
  syncDelayMs: [0.05, 0.3],
};

export function drawSettings(random: Prng): Settings {
  const often = (mean: number, probability: number): number =>
    random.chance(probability) ? mean * (0.5 + random.float()) : Infinity;
  const calm = random.chance(0.1);
  const fault = (mean: number, probability: number): number => {
    const drawn = often(mean, probability);
    return calm ? Infinity : drawn;
  };
  const thinkMs = random.pick([5, 20, 50, 200]);
  return {
    nodes: random.pick([1, 3, 3, 3, 3, 3, 5]),
    spares: random.below(2),
    clients: random.between(1, 6),
    keys: random.between(1, 10),
    thinkMs,
    durationMs: random.pick([5_000, 10_000, 20_000]),
    network: {
      delayMinMs: random.pick([0.05, 0.5, 2]),
      delayMeanMs: random.pick([0.2, 1, 5]),
      lossProbability: calm ? 0 : random.pick([0, 0, 0.001, 0.02, 0.1]),
      replayProbability: calm ? 0 : random.pick([0, 0, 0.01]),
      corruptProbability: calm ? 0 : random.pick([0, 0, 0.001, 0.01]),
    },
    driftMax: random.pick([0, 0.001, 0.05]),
    segmentBytes: random.pick([16 << 10, 16 << 10, 64 << 10]),
    checkpointEntries: random.pick([10, 50, 300]),
    crashEveryMs: fault(1_500, 0.8),
    powerLossEveryMs: fault(2_500, 0.6),
    partitionEveryMs: fault(1_500, 0.6),
    pauseEveryMs: fault(1_500, 0.4),
    compactEveryMs: often(1_000, 0.5),
    transferEveryMs: often(2_000, 0.4),
    blackoutEveryMs: fault(4_000, 0.4),
    diskFaultEveryMs: fault(3_000, 0.4),
    lossEveryMs: fault(4_000, 0.4),
    membershipEveryMs: often(2_000, 0.5),
    wallClockEveryMs: often(2_000, 0.2),
    strikeProbability: calm ? 0 : random.pick([0, 0.2, 0.6]),
    appendBytesMax: random.pick([1, 1 << 20]),
    requestsMax: random.pick([1, 2]),
    syncDelayMs: random.pick([
      [0.05, 0.3],
      [0.2, 2],
      [1, 20],
    ]),
    leaseHolders: random.pick([0, 0, 1, 3]),
    rowHolders: random.pick([0, 0, 1, 2]),
    keyedClients: random.pick([0, 0, 1, 3]),
  };
}
