import { generate } from "./generator.ts";
import { type Load, type LoadResult } from "./load.ts";
import { type Subject } from "./subjects.ts";
import { cpuSecondsOf, machineCpuSeconds } from "./system.ts";

export interface Measurement {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU microseconds of all three servers for one operation. */
  readonly serverUs: number;
  /** Cores that neither the servers nor the generator used: other work on this machine. */
  readonly foreignCores: number;
}

/** Puts every key once, so that gets find them. */
export async function fill(subject: Subject, load: Omit<Load, "kind" | "host">): Promise<void> {
  requireWhole(await generate({ ...load, kind: "fill", host: await subject.leader() }));
}

/** @param own - processes whose use of the machine is not foreign. */
export async function measure(
  subject: Subject,
  load: Omit<Load, "host">,
  own: readonly number[],
): Promise<Measurement> {
  let servers = 0;
  let foreign = 0;
  const result = await generate({ ...load, host: await subject.leader() }, ({ type }, generatorPid) => {
    const sign = type === "end" ? 1 : -1;
    const ours = [...own, generatorPid, process.pid].reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
    servers += sign * subject.pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
    foreign += sign * (machineCpuSeconds() - ours);
  });
  requireWhole(result);
  return {
    perSecond: result.operations / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    serverUs: (servers * 1e6) / result.operations,
    foreignCores: Math.max(0, foreign / result.seconds),
  };
}

/** Every figure for itself, so that one disturbed round spoils none of the others. */
export function median(rounds: readonly Measurement[]): Measurement {
  const of = (figure: (round: Measurement) => number): number => {
    const sorted = rounds.map(figure).sort((a, b) => a - b);
    const middle = sorted.length / 2;
    return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
  };
  return {
    perSecond: of((round) => round.perSecond),
    p50Ms: of((round) => round.p50Ms),
    p99Ms: of((round) => round.p99Ms),
    serverUs: of((round) => round.serverUs),
    foreignCores: of((round) => round.foreignCores),
  };
}

function requireWhole({ operations, failed }: LoadResult): void {
  if (failed > 0) throw new Error(`${failed} answers were not what was asked for, beside ${operations} good ones`);
  if (operations === 0) throw new Error("Not one answer came");
}
