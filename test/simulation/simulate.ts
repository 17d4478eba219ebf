import { parseArgs } from "node:util";
import { availableParallelism } from "node:os";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { MUTANTS } from "./mutants.ts";
import { hunt } from "./mutation.ts";
import { SCENARIOS } from "./scenarios.ts";
import { type Settings } from "./settings.ts";
import { type RunOptions, Simulation, SimulationFailure } from "./simulation.ts";

/**
 * `npm run simulate -- --seeds 2000 [--seed 7] [--workers 2] [--verbose]`: runs seeds from `--seed` on, on all cores. A
 * failing seed is printed with the command that runs it again, and its last events.
 * `npm run simulate -- --mutants [--mutant name] --seeds 500`: breaks the product in every known way, and tells how many
 * seeds it takes to notice.
 */
interface Job {
  readonly first: number;
  readonly count: number;
  readonly step: number;
}

interface Report {
  readonly seed: string;
  readonly simulatedMs: number;
  readonly acknowledged: number;
  readonly crashes: number;
  readonly failure: { readonly message: string; readonly stack: string; readonly trace: readonly string[] } | undefined;
}

if (isMainThread) await main();
else work(workerData as Job);

function runOne(seed: string, options: RunOptions = {}): Report {
  try {
    const result = new Simulation(seed, options).run();
    const { simulatedMs, acknowledged, crashes } = result;
    return { seed, simulatedMs, acknowledged, crashes, failure: undefined };
  } catch (error) {
    const trace = error instanceof SimulationFailure ? error.trace : [];
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.stack : undefined;
    const failure = { message: String(error), stack: cause ?? (error as Error).stack ?? "", trace };
    return { seed, simulatedMs: 0, acknowledged: 0, crashes: 0, failure };
  }
}

function work(job: Job): void {
  for (let at = 0; at < job.count; at += 1) parentPort?.postMessage(runOne(String(job.first + at * job.step)));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
      workers: { type: "string", default: String(availableParallelism()) },
      verbose: { type: "boolean", default: false },
      "first-violation": { type: "boolean", default: false },
      mutants: { type: "boolean", default: false },
      mutant: { type: "string" },
      settings: { type: "string", default: "{}" },
      scenario: { type: "string" },
    },
  });
  const [seeds, first, workers] = [Number(values.seeds), Number(values.seed), Number(values.workers)];
  if (values.mutants || values.mutant !== undefined) {
    await huntMutants(first, seeds, workers, values.mutant);
    return;
  }
  const settings = JSON.parse(values.settings) as Partial<Settings>;
  const scenario = SCENARIOS.find(({ name }) => name === values.scenario);
  if (values.scenario !== undefined && scenario === undefined)
    throw new Error(`No scenario "${values.scenario}": wanted one of ${SCENARIOS.map(({ name }) => name).join(", ")}`);
  const options: RunOptions = { verbose: values.verbose, settings, scenario };
  const started = performance.now();
  const reports: Report[] = [];
  const take = (report: Report): void => {
    reports.push(report);
    if (report.failure !== undefined) describeFailure(report);
    if (reports.length % 100 === 0) process.stdout.write(`${summary(reports, started, workers)}\n`);
  };
  if (seeds === 1 || workers === 1 || scenario !== undefined) {
    const ends = (): boolean => values["first-violation"] && reports.at(-1)?.failure !== undefined;
    for (let at = 0; at < seeds && !ends(); at += 1) take(runOne(String(first + at), options));
  } else {
    await Promise.all(
      Array.from({ length: workers }, async (_, position) => {
        const count = Math.ceil((seeds - position) / workers);
        const worker = new Worker(new URL(import.meta.url), {
          workerData: { first: first + position, count, step: workers },
        });
        worker.on("message", take);
        await new Promise<void>((resolve, reject) => {
          worker.once("exit", () => resolve());
          worker.once("error", reject);
        });
      }),
    );
  }
  process.stdout.write(`${summary(reports, started, workers)}\n`);
  if (reports.some((report) => report.failure !== undefined)) process.exitCode = 1;
}

async function huntMutants(first: number, seeds: number, workers: number, only: string | undefined): Promise<void> {
  const waiting = MUTANTS.filter(({ name }) => only === undefined || name === only);
  const next = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const { seed, violation } = await hunt(mutant, first, seeds);
      if (seed === undefined) process.exitCode = 1;
      const verdict = seed === undefined ? `not found by ${seeds} seeds` : `found by seed ${seed}: ${violation}`;
      process.stdout.write(`${mutant.name}: ${verdict}\n`);
    }
  };
  await Promise.all(Array.from({ length: workers }, next));
}

function summary(reports: readonly Report[], started: number, workers: number): string {
  const seconds = (performance.now() - started) / 1000;
  const simulated = reports.reduce((sum, report) => sum + report.simulatedMs, 0) / 1000;
  const violations = reports.filter((report) => report.failure !== undefined).length;
  const acknowledged = reports.reduce((sum, report) => sum + report.acknowledged, 0);
  const crashes = reports.reduce((sum, report) => sum + report.crashes, 0);
  return (
    `${reports.length} seeds, ${violations} violations, ${acknowledged} calls answered, ${crashes} crashes, ` +
    `${(reports.length / seconds).toFixed(2)} seeds/s, ${simulated.toFixed(0)} s simulated in ${seconds.toFixed(1)} s: ` +
    `${(simulated / seconds / workers).toFixed(0)} times real time per worker`
  );
}

function describeFailure({ seed, failure }: Report): void {
  if (failure === undefined) return;
  process.stdout.write(
    `\nVIOLATION ${failure.message}\n  again: npm run simulate -- --seeds 1 --seed ${seed} --verbose\n`,
  );
  for (const line of failure.trace.slice(-40)) process.stdout.write(`  | ${line}\n`);
  process.stdout.write(`${failure.stack}\n`);
}
