import { appendFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { etcdBinary } from "./etcd-binary.ts";
import { type LoadKind } from "./load.ts";
import { fill, measure, median, type Measurement } from "./measurement.ts";
import { startConcord, startEtcd, type Subject } from "./subjects.ts";
import { fdatasyncMs } from "./system.ts";

// Measures Concord, and beside it etcd when there is one: three members each, same machine, same disk, fsync on, the same
// load in turns. Absolute figures belong to the machine and its other work; ratios and CPU per operation travel better.

const SIZES = {
  full: { connections: 16, inFlight: [64, 256], keys: 20_000, warmUpMs: 1_000 },
  small: { connections: 4, inFlight: [16], keys: 500, warmUpMs: 200 },
} as const;
const MEMBERS = 3;
const VALUE_BYTES = 256;
const FILL_IN_FLIGHT = 64;
const KINDS = ["put", "get"] as const satisfies readonly LoadKind[];
const RESULTS = fileURLToPath(new URL("./results.jsonl", import.meta.url));

const { values } = parseArgs({
  options: {
    /** Path of an etcd binary. Default: the one on the PATH, if any; "none" measures Concord alone. */
    etcd: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    small: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
    /** Loads to run, such as put,get. */
    kinds: { type: "string", default: KINDS.join(",") },
    /** Directory for CPU profiles of Concord's members. */
    profile: { type: "string" },
  },
});

interface Row {
  readonly load: string;
  readonly concord: Measurement;
  readonly etcd: Measurement | undefined;
}

await main();

async function main(): Promise<void> {
  const size = values.small ? SIZES.small : SIZES.full;
  const rounds = positive("rounds", values.small ? 1 : 3);
  const measureMs = positive("seconds", values.small ? 0.5 : 4) * 1000;
  const kinds = KINDS.filter((kind) => values.kinds.split(",").includes(kind));
  if (kinds.length === 0) throw new Error(`--kinds is "${values.kinds}", expected some of ${KINDS.join(",")}`);
  const etcd = etcdBinary(values.etcd);
  const syncMs = fdatasyncMs(tmpdir());
  const subjects: Subject[] = [];
  try {
    if (values.profile !== undefined) process.env["NODE_OPTIONS"] = `--cpu-prof --cpu-prof-dir=${values.profile}`;
    subjects.push(await startConcord(MEMBERS));
    delete process.env["NODE_OPTIONS"];
    if (etcd !== undefined) subjects.push(await startEtcd(etcd, MEMBERS));
    const shared = { ...size, valueBytes: VALUE_BYTES, measureMs };
    for (const subject of subjects) await fill(subject, { ...shared, inFlight: FILL_IN_FLIGHT });
    const rows: Row[] = [];
    for (const kind of kinds) {
      for (const inFlight of size.inFlight) {
        const found = await alternate(subjects, rounds, { ...shared, kind, inFlight });
        const concord = found.get("concord");
        if (concord === undefined) continue;
        rows.push({ load: `${kind} ${inFlight}`, concord, etcd: found.get("etcd") });
        printRow(rows.at(-1), rows.length === 1);
      }
    }
    const setting = `${size.connections} connections, ${VALUE_BYTES}-B values, ${size.keys} keys, medians of ${rounds} x ${measureMs / 1000} s`;
    print(`${setting}; fdatasync p50 ${syncMs.toFixed(3)} ms; ${availableParallelism()} CPUs\n`);
    if (values.record) record({ setting, fdatasyncMs: syncMs, cpus: availableParallelism(), rows });
  } finally {
    await Promise.all(subjects.map(async (subject) => subject.stop()));
  }
}

/** A B A B: what disturbs the machine for a while then disturbs both. */
async function alternate(
  subjects: readonly Subject[],
  rounds: number,
  load: Parameters<typeof measure>[1],
): Promise<Map<string, Measurement>> {
  const own = subjects.flatMap(({ pids }) => pids);
  const measured = new Map<string, Measurement[]>(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1)
    for (const subject of subjects) measured.get(subject.name)?.push(await measure(subject, load, own));
  return new Map([...measured].map(([name, each]) => [name, median(each)]));
}

function printRow(row: Row | undefined, first: boolean): void {
  if (row === undefined) return;
  if (first) {
    const heads = ["/s", "p50 ms", "p99 ms", "server us", "foreign"].map((head) => head.padStart(10)).join("");
    print(`${"load".padEnd(9)}${"".padEnd(8)}${heads}\n`);
  }
  for (const name of ["concord", "etcd"] as const) {
    const found = row[name];
    if (found === undefined) continue;
    const figures = [
      Math.round(found.perSecond).toString(),
      found.p50Ms.toFixed(2),
      found.p99Ms.toFixed(2),
      found.serverUs.toFixed(1),
      found.foreignCores.toFixed(2),
    ];
    print(`${row.load.padEnd(9)}${name.padEnd(8)}${figures.map((figure) => figure.padStart(10)).join("")}\n`);
  }
  if (row.etcd === undefined) return;
  const ratios: [string, number][] = [
    ["throughput", row.concord.perSecond / row.etcd.perSecond],
    ["p50", row.concord.p50Ms / row.etcd.p50Ms],
    ["p99", row.concord.p99Ms / row.etcd.p99Ms],
    ["server CPU", row.concord.serverUs / row.etcd.serverUs],
  ];
  const texts = ratios.map(([what, ratio]) => `${what} ${ratio.toFixed(2)}x`);
  print(`${row.load.padEnd(9)}Concord / etcd: ${texts.join(", ")}\n`);
}

function record(found: object): void {
  const line = { at: new Date().toISOString(), node: process.version, ...found };
  appendFileSync(RESULTS, `${JSON.stringify(line)}\n`);
}

function positive(name: "rounds" | "seconds", byDefault: number): number {
  const number = Number(values[name] ?? byDefault);
  if (number > 0 && (name === "seconds" || Number.isInteger(number))) return number;
  throw new Error(`--${name} is "${values[name]}", expected a number above zero`);
}

function print(text: string): void {
  process.stdout.write(text);
}
