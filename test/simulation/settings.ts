import { type Prng } from "../support/prng.ts";
import { type NetworkFaults } from "../support/sim-network.ts";

/** What one run is like. Drawn from its seed, so that runs differ in kind and not only in luck. */
export interface Settings {
  readonly nodes: number;
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
  /** One log is damaged, once in a run. */
  readonly damage: boolean;
  readonly syncDelayMs: readonly [number, number];
}

export function drawSettings(random: Prng): Settings {
  const often = (mean: number, probability: number): number => (random.chance(probability) ? mean * (0.5 + random.float()) : Infinity);
  const calm = random.chance(0.1);
  return {
    nodes: random.pick([1, 3, 3, 3, 3, 3, 5]),
    clients: random.between(1, 8),
    keys: random.between(1, 10),
    thinkMs: random.pick([0, 5, 50]),
    durationMs: 10_000,
    network: {
      delayMinMs: random.pick([0.05, 0.5, 2]),
      delayMeanMs: random.pick([0.2, 1, 5]),
      lossProbability: calm ? 0 : random.pick([0, 0, 0.001, 0.02, 0.1]),
      replayProbability: calm ? 0 : random.pick([0, 0, 0.01]),
    },
    driftMax: random.pick([0, 0.001, 0.05]),
    segmentBytes: random.pick([64 << 10, 256 << 10]),
    checkpointEntries: random.pick([10, 50, 300]),
    crashEveryMs: calm ? Infinity : often(1_500, 0.8),
    powerLossEveryMs: calm ? Infinity : often(2_500, 0.6),
    partitionEveryMs: calm ? Infinity : often(1_500, 0.6),
    pauseEveryMs: calm ? Infinity : often(1_500, 0.4),
    compactEveryMs: often(1_000, 0.5),
    transferEveryMs: often(2_000, 0.4),
    blackoutEveryMs: calm ? Infinity : often(4_000, 0.4),
    damage: !calm && random.chance(0.3),
    syncDelayMs: random.pick([
      [0.05, 0.3],
      [0.2, 2],
      [1, 20],
    ]),
  };
}
