import { parseArgs } from "node:util";
import { type Filled, type Step, workThrough } from "./million-steps.ts";
import { etcdBinary } from "./etcd-binary.ts";
import { startConcord, startEtcd, type Subject } from "./subjects.ts";

// A million keys in Concord and, when there is one, in etcd, one after the other: what each costs to keep, and how long
// everything that touches all of them takes and holds up others. Exit status 1 when a figure misses its aim.

const MEMBERS = 3;
const VALUE_BYTES = 256;
/** Of etcd's. */
const RESIDENT_AIM = 0.5;
const STALL_AIM_MS = 50;
/** One of the two. */
const RESTART_AIM = 0.3;
const RESTART_AIM_SECONDS = 1.4;

const { values } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    /** Path of an etcd binary. Default: the one on the PATH, if any; "none" measures Concord alone. */
    etcd: { type: "string" },
    /** Directory for CPU profiles of Concord's members. */
    profile: { type: "string" },
  },
});

const keys = Number(values.keys);
if (!Number.isInteger(keys) || keys < 1)
  throw new Error(`--keys is "${values.keys}", expected a whole number above zero`);
if (values.profile !== undefined) process.env["NODE_OPTIONS"] = `--cpu-prof --cpu-prof-dir=${values.profile}`;
const concord = await measured(async () => startConcord(MEMBERS));
delete process.env["NODE_OPTIONS"];
const binary = etcdBinary(values.etcd);
const etcd = binary === undefined ? undefined : await measured(async () => startEtcd(binary, MEMBERS));

let missed = 0;
print(`${keys} keys with values of ${VALUE_BYTES} B, ${MEMBERS} members each\n`);
report("memory a key", `${figure(concord, etcd, ({ residentBytesPerKey }) => residentBytesPerKey)} B`, [
  etcd === undefined || concord.residentBytesPerKey <= RESIDENT_AIM * etcd.residentBytesPerKey,
]);
for (const [at, step] of concord.steps.entries()) {
  const other = etcd?.steps[at];
  const restart = step.name.startsWith("restart");
  const quick = !restart || step.seconds <= Math.max(RESTART_AIM_SECONDS, RESTART_AIM * (other?.seconds ?? 0));
  report(step.name, textOf(step, other), [quick, stallOf(step) <= STALL_AIM_MS]);
}
process.exitCode = missed === 0 ? 0 : 1;

async function measured(start: () => Promise<Subject>): Promise<Filled> {
  const subject = await start();
  try {
    return await workThrough(subject, keys, VALUE_BYTES);
  } finally {
    await subject.stop();
  }
}

function figure<T>(own: T, other: T | undefined, of: (from: T) => number, digits = 0): string {
  return other === undefined
    ? of(own).toFixed(digits)
    : `${of(own).toFixed(digits)} (etcd ${of(other).toFixed(digits)})`;
}

function textOf(step: Step, other: Step | undefined): string {
  const parts = [`${figure(step, other, ({ seconds }) => seconds, 2)} s`];
  const { waits, stallMs } = step;
  if (waits !== undefined)
    parts.push(`longest read ${figure(waits, other?.waits, ({ longestReadMs }) => longestReadMs)} ms`);
  if (waits !== undefined && stallMs !== undefined)
    parts.push(`longest stall ${stallMs.toFixed(0)} ms, of an idle process ${waits.idleStallMs.toFixed(0)} ms`);
  return parts.join(", ");
}

/** Without what every process of this machine was kept waiting at times. */
function stallOf({ stallMs = 0, waits }: Step): number {
  return stallMs - (waits?.idleStallMs ?? 0);
}

function report(what: string, text: string, good: readonly boolean[]): void {
  const kept = good.every(Boolean);
  if (!kept) missed += 1;
  print(`${kept ? "ok    " : "MISSED"}  ${what}: ${text}\n`);
}

function print(text: string): void {
  process.stdout.write(text);
}
