import { expect, test } from "vitest";
import { MUTANTS } from "./mutants.ts";
import { hunt } from "./mutation.ts";

const TIMEOUT_MS = 120_000;

/** Seeds move a little with every change of the product: the known one is where the hunt begins. */
const SEEDS_MAX = 40;

// Those without a known seed are hunted with `npm run simulate -- --mutants` only.
test.each(MUTANTS.filter(({ seed }) => seed !== undefined))(
  "$name is found: $why",
  async (mutant) => {
    const { violation } = await hunt(mutant, mutant.seed ?? 1, SEEDS_MAX);
    expect(violation).not.toBe("");
  },
  TIMEOUT_MS,
);
