import { parseArgs } from "node:util";
import { type Idempotency, Machine } from "../../node/machine/machine.ts";
import { Prng } from "../support/prng.ts";
import { FOUND, OPTIONS, put } from "../model/machine-fixture.ts";

// How much memory idempotency keys take: keyed writes at a steady rate for as long as keys are remembered, and an hour
// more, in simulated time. Exit status 1 when a write is refused for want of room.

const { values } = parseArgs({
  options: {
    rate: { type: "string", default: "1000" },
    hours: { type: "string", default: "24" },
    /** Half of the default quota. */
    budget: { type: "string", default: String(4 * 1024 ** 3) },
  },
});

const KEYS = 1000;
const HOUR_MS = 3_600_000;
const COMPACT_EVERY = 100_000;

const machine = new Machine(OPTIONS);
machine.apply({ index: 1, clusterTimeMs: 0, wallTimeMs: 0 }, FOUND);
const random = new Prng(1);
const commands = Array.from({ length: KEYS }, (_, number) => put(`key-${number}`, "x".repeat(64)));
const ttlMs = Number(values.hours) * HOUR_MS;
const writes = ((ttlMs + HOUR_MS) / 1000) * Number(values.rate);
const words = new Uint32Array(6);
const digests = new Uint8Array(words.buffer);
let index = 1;
let refused = 0;
let longestMs = 0;

const startedAt = performance.now();
for (let number = 0; number < writes; number += 1) {
  for (let word = 0; word < words.length; word += 1) words[word] = random.next();
  const key = digests.slice(0, 16);
  const request = digests.slice(16);
  const idempotency: Idempotency = { key, request, ttlMs, budgetBytes: Number(values.budget) };
  const clusterTimeMs = Math.floor((number * 1000) / Number(values.rate));
  const before = performance.now();
  const outcome = machine.apply(
    { index: ++index, clusterTimeMs, wallTimeMs: clusterTimeMs, idempotency },
    commands[number % KEYS]!,
  );
  longestMs = Math.max(longestMs, performance.now() - before);
  if (!outcome.ok) refused += 1;
  if (number % COMPACT_EVERY === COMPACT_EVERY - 1) {
    machine.apply(
      { index: ++index, clusterTimeMs, wallTimeMs: clusterTimeMs },
      {
        type: "compact",
        revision: machine.revision,
      },
    );
    while (!machine.sweep(100_000));
  }
}
const seconds = (performance.now() - startedAt) / 1000;
const { records, recordBytes } = machine.stats();
const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
process.stdout.write(
  `${writes} keyed writes: ${refused} refused; ${records} keys, ${mebibytes(recordBytes)} of ${mebibytes(Number(values.budget))}; ` +
    `RSS ${mebibytes(process.memoryUsage.rss())}; ${((seconds * 1e6) / writes).toFixed(2)} us a write, longest ${longestMs.toFixed(1)} ms\n`,
);
process.exitCode = refused === 0 ? 0 : 1;
