import { parseArgs } from "node:util";
import { ProcessCluster } from "./cluster.ts";
import { etcdctlPut } from "./request-loop.ts";
import { type KeyedVerdict } from "./keyed-load.ts";
import { blackouts, type FaultRound, keyedWrites, killLeaders, terminateLeaders, type TermRound } from "./rounds.ts";

// Ends real members of a real cluster in every way there is, while clients write, and says what the clients saw.
// Exit status 1 when a figure misses its aim.

const GAP_AIM_MS = 500;
const EXIT_AIM_MS = 5_000;

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    terms: { type: "string", default: "20" },
    blackouts: { type: "string", default: "5" },
    /** Leaders killed while every write has an idempotency key and is sent until it is answered. */
    keyed: { type: "string", default: "5" },
    clients: { type: "string", default: "16" },
    etcdctl: { type: "string", default: "etcdctl" },
    /** Leaves the data and the logs of the members where they are. */
    keep: { type: "boolean", default: false },
  },
});

const count = (name: "kills" | "terms" | "blackouts" | "keyed" | "clients"): number => {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number >= 0) return number;
  throw new Error(`--${name} is "${values[name]}", expected a whole number`);
};

let missed = 0;

function say(what: string, figure: string, good: boolean): void {
  if (!good) missed += 1;
  process.stdout.write(`${good ? "ok    " : "MISSED"}  ${what}: ${figure}\n`);
}

function reportFaults(what: string, round: FaultRound, gapAimMs: number): void {
  const { verdict, gaps } = round;
  const sorted = [...gaps].sort((a, b) => a - b);
  const p50 = Math.round(sorted[Math.floor((sorted.length - 1) / 2)] ?? 0);
  const max = Math.round(sorted.at(-1) ?? 0);
  const { acknowledged, failed, unknown, unknownPresent, lost, resurrected } = verdict;
  say(
    `${what}, acknowledged writes lost`,
    `${lost.length} of ${acknowledged} ${lost.slice(0, 5).join(" ")}`,
    lost.length === 0,
  );
  say(
    `${what}, failed writes that happened`,
    `${resurrected.length} of ${failed} ${resurrected.slice(0, 5).join(" ")}`,
    resurrected.length === 0,
  );
  say(`${what}, write gap`, `p50 ${p50} ms, max ${max} ms`, max <= gapAimMs);
  process.stdout.write(`        unknown writes: ${unknown}, of which ${unknownPresent} happened\n`);
  for (const [text, times] of round.errors) process.stdout.write(`        ${times} x ${text}\n`);
}

function reportKeyed({ writes, retries, wrong, differing }: KeyedVerdict): void {
  const what = "kill -9 of the leader, writes with idempotency keys";
  say(
    `${what} not applied exactly once`,
    `${wrong.length} of ${writes} ${wrong.slice(0, 5).join(" ")}`,
    wrong.length === 0,
  );
  say(`${what} answered differently`, `${differing.length} ${differing.slice(0, 5).join(" ")}`, differing.length === 0);
  process.stdout.write(`        attempts beyond the first: ${retries}\n`);
}

function reportTerms(round: TermRound): void {
  const { ends, failures, requests, slowestMs } = round;
  const longest = Math.round(Math.max(0, ...ends.map(({ afterMs }) => afterMs)));
  const bad = ends.filter(({ status }) => status !== 0).map(({ status, signal }) => status ?? signal);
  say("SIGTERM of the leader, failed requests", `${failures.length} of ${requests}`, failures.length === 0);
  say("SIGTERM of the leader, time to exit", `max ${longest} ms`, longest < EXIT_AIM_MS);
  say("SIGTERM of the leader, exit status", bad.length === 0 ? "0" : bad.join(", "), bad.length === 0);
  process.stdout.write(`        slowest request: ${Math.round(slowestMs)} ms\n`);
  for (const failure of failures.slice(0, 10)) process.stdout.write(`        ${failure}\n`);
}

const cluster = await ProcessCluster.start();
// Whoever ends this program ends its members too.
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void cluster.stop(values.keep).finally(() => process.exit(130)));
try {
  await cluster.healthy();
  if (count("kills") > 0)
    reportFaults("kill -9 of the leader", await killLeaders(cluster, count("kills"), count("clients")), GAP_AIM_MS);
  if (count("keyed") > 0) reportKeyed(await keyedWrites(cluster, count("keyed"), count("clients")));
  if (count("terms") > 0)
    reportTerms(await terminateLeaders(cluster, count("terms"), etcdctlPut(values.etcdctl, cluster.endpoints)));
  if (count("blackouts") > 0)
    reportFaults(
      "kill -9 of all members",
      await blackouts(cluster, count("blackouts"), count("clients")),
      Number.POSITIVE_INFINITY,
    );
} finally {
  await cluster.stop(values.keep);
  if (values.keep) process.stdout.write(`Data and logs: ${cluster.directory}\n`);
}
process.exitCode = missed === 0 ? 0 : 1;
