import { describe, expect, test } from "vitest";
import { readFileSync } from "node:fs";
import { SCENARIOS } from "./scenarios.ts";
import { Simulation } from "./simulation.ts";

interface Regression {
  readonly seed: string;
  /** What it found when it was new. */
  readonly found: string;
}

const FIXED_SEEDS = 60;
const FRESH_SEEDS = 10;
const SCENARIO_SEEDS = 5;
/** A run is far longer in simulated time; this bounds one that hangs. */
const TIMEOUT_MS = 60_000;

const regressions = JSON.parse(readFileSync(new URL("seeds.json", import.meta.url), "utf8")) as readonly Regression[];

function run(seed: string): void {
  const result = new Simulation(seed).run();
  expect(result.entries).toBeGreaterThan(0);
}

test("a seed is a run: the same one gives the same events at the same times", () => {
  const first = new Simulation("replay").run();
  const second = new Simulation("replay").run();
  expect(second).toEqual(first);
  expect(new Simulation("another").run().traceHash).not.toBe(first.traceHash);
});

describe("seeds that found something once", () => {
  test.each(regressions)("$seed: $found", ({ seed }) => run(seed), TIMEOUT_MS);
});

test(
  `seeds 1 to ${FIXED_SEEDS}`,
  () => {
    for (let seed = 1; seed <= FIXED_SEEDS; seed += 1) run(String(seed));
  },
  TIMEOUT_MS,
);

test.each(SCENARIOS)(
  "$name comes to its point, and nothing is wrong there",
  (scenario) => {
    for (let seed = 1; seed <= SCENARIO_SEEDS; seed += 1)
      expect(new Simulation(String(seed), { scenario }).run().played).toBe(true);
  },
  TIMEOUT_MS,
);

// New ground at every run. A failure names its seed; `npm run simulate -- --seeds 1 --seed <it>` runs it again.
const fresh = Math.floor(Date.now() / 1000);
test(
  `${FRESH_SEEDS} fresh seeds from ${fresh} on`,
  () => {
    for (let seed = fresh; seed < fresh + FRESH_SEEDS; seed += 1) run(String(seed));
  },
  TIMEOUT_MS,
);
