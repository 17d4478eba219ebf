import { parseArgs } from "node:util";
import { ProcessCluster } from "./cluster.ts";
import { watchThroughFaults, type WatchRound } from "./watch-rounds.ts";
import { type WatchFaults } from "./watcher.ts";

// Watches through every door while members are killed, history is compacted and readers dawdle, and says what each was
// told. Exit status 1 when one of them was told anything but every change, once, in order, its txn whole.

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "1000000" },
    kills: { type: "string", default: "20" },
    /** Leaves the data and the logs of the members where they are. */
    keep: { type: "boolean", default: false },
  },
});

const count = (name: "events" | "kills"): number => {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number > 0) return number;
  throw new Error(`--${name} is "${values[name]}", expected a whole number above zero`);
};

const FAULTS = {
  gaps: "gaps",
  duplicates: "duplicates",
  reorderings: "reorderings",
  torn: "torn txns",
  wrongLists: "wrong lists",
} as const satisfies Record<keyof WatchFaults, string>;

function report({ events, revisions, readers }: WatchRound, seconds: number): boolean {
  process.stdout.write(`${events} changes in ${revisions} txns, ${Math.round(seconds)} s\n`);
  let good = true;
  for (const { door, slow, verdict } of readers) {
    const faults = (Object.keys(FAULTS) as (keyof WatchFaults)[]).map((kind) => `${verdict[kind]} ${FAULTS[kind]}`);
    const kept = (Object.keys(FAULTS) as (keyof WatchFaults)[]).every((kind) => verdict[kind] === 0);
    good &&= kept;
    const way = `resumed ${verdict.resumed} x, listed ${verdict.relisted} x past ${verdict.skipped} txns`;
    process.stdout.write(
      `${kept ? "ok    " : "MISSED"}  ${door}, ${slow ? "slow" : "quick"}: ${verdict.events} changes in ` +
        `${verdict.revisions} txns; ${way}; ${faults.join(", ")}\n`,
    );
    for (const example of verdict.examples) process.stdout.write(`        ${example}\n`);
  }
  return good;
}

const began = performance.now();
const cluster = await ProcessCluster.start();
let good = false;
try {
  const round = await watchThroughFaults(cluster, count("events"), count("kills"));
  good = report(round, (performance.now() - began) / 1000);
} finally {
  await cluster.stop(values.keep || !good);
  if (values.keep || !good) process.stdout.write(`Data and logs: ${cluster.directory}\n`);
}
process.exitCode = good ? 0 : 1;
