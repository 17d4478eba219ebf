import { parseArgs } from "node:util";
import { ProcessCluster } from "./cluster.ts";
import { leasesThroughKills, type LeaseRound } from "./lease-rounds.ts";

// Keeps leases alive while one leader after the other is killed, leaves others alone, and says when each ended. Exit status
// 1 when one ended before its time, or a figure misses its aim.

/** A tick of the leader, the commit of the end, and the way of its news to the client. */
const BEYOND_LEADERLESS_AIM_MS = 250;

const { values } = parseArgs({
  options: {
    leases: { type: "string", default: "1000" },
    kills: { type: "string", default: "20" },
    /** Leaves the data and the logs of the members where they are. */
    keep: { type: "boolean", default: false },
  },
});

const count = (name: "leases" | "kills"): number => {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number > 0) return number;
  throw new Error(`--${name} is "${values[name]}", expected a whole number above zero`);
};

let missed = 0;

function say(what: string, figure: string, good: boolean): void {
  if (!good) missed += 1;
  process.stdout.write(`${good ? "ok    " : "MISSED"}  ${what}: ${figure}\n`);
}

function quantiles(figures: readonly number[]): { readonly text: string; readonly p99: number } {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.ceil(sorted.length * part) - 1] ?? 0;
  const [p50, p99, max] = [at(0.5), at(0.99), at(1)].map(Math.round) as [number, number, number];
  return { text: `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`, p99 };
}

function report({ kept, keptEnded, early, left, endless, gaps }: LeaseRound): void {
  const of = kept.map(({ door, leases, renewals }) => `${leases} over ${door} with ${renewals} renewals`).join(", ");
  say("leases that ended before their time", `${early.length} ${early.slice(0, 5).join("; ")}`, early.length === 0);
  say("kept leases that ended", `${keptEnded.length} of ${of}`, keptEnded.length === 0);
  say(
    "leases left alone that never ended",
    `${endless.length} of ${left.length + endless.length}`,
    endless.length === 0,
  );
  const lateness = quantiles(left.map(({ lateMs }) => lateMs));
  const beyond = quantiles(left.map(({ beyondLeaderlessMs }) => beyondLeaderlessMs));
  process.stdout.write(`        time without a leader: ${quantiles(gaps).text}\n`);
  process.stdout.write(`        ends of leases left alone, late by: ${lateness.text}\n`);
  say("the same, beyond the time without a leader", beyond.text, beyond.p99 <= BEYOND_LEADERLESS_AIM_MS);
}

const cluster = await ProcessCluster.start();
try {
  report(await leasesThroughKills(cluster, count("leases"), count("kills")));
} finally {
  await cluster.stop(values.keep);
  if (values.keep) process.stdout.write(`Data and logs: ${cluster.directory}\n`);
}
process.exitCode = missed === 0 ? 0 : 1;
