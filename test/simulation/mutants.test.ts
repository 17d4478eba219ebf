import { expect, test } from "vitest";
import { MUTANTS } from "./mutants.ts";
import { hunt } from "./mutation.ts";

const TIMEOUT_MS = 120_000;

/** Seeds move a little with every change of the product: the known one is where the hunt begins. */
const SEEDS_MAX = 40;

test.each(MUTANTS)(
  "$name is found: $why",
  async (mutant) => {
    const { violation } = await hunt(mutant, mutant.seed, SEEDS_MAX);
    expect(violation).not.toBe("");
  },
  TIMEOUT_MS,
);
