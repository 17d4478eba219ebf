import { type Command } from "commander";
import { ConcordError } from "../../client/errors.ts";
import {
  addClientOptions,
  type ClientOptions,
  type CommandIo,
  connectionOptions,
  endpointsOf,
  wholeNumber,
} from "../context.ts";
import { print, table } from "../output.ts";

interface BenchFlags extends ClientOptions {
  readonly clients: string;
  readonly total: string;
  readonly size: string;
  readonly keys: string;
  readonly prefix: string;
}

interface Measured {
  readonly operation: "put" | "get";
  readonly endpoints: number;
  readonly clients: number;
  readonly requests: number;
  readonly failed: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const CLIENTS_MAX = 1_000;
const TOTAL_MAX = 10_000_000;
const FAILED = 1;

/** `concord bench put`, `get`: the load that clients of the REST door make. */
export function registerBench(program: Command, io: CommandIo, setStatus: (status: number) => void): void {
  const bench = program.command("bench").description("measure puts and gets over REST");
  for (const operation of ["put", "get"] as const) {
    addClientOptions(bench.command(operation), io)
      .description(operation === "put" ? "write values, and leave them there" : "read keys that bench put has written")
      .option("--clients <number>", "requests that are under way together", "16")
      .option("--total <number>", "requests altogether", "10000")
      .option("--size <bytes>", "bytes in a value", "256")
      .option("--keys <number>", "how many keys there are", "1000")
      .option("--prefix <key>", "what the keys begin with", "concord-bench/")
      .action(async (options: BenchFlags) => {
        const measured = await measure(operation, options, io);
        print(io, options.output, measured, () => measuredTable(measured));
        if (measured.failed > 0) setStatus(FAILED);
      });
  }
}

/** Clients take turns over the endpoints; each sends its next request when the one before was answered. */
async function measure(operation: "put" | "get", options: BenchFlags, io: CommandIo): Promise<Measured> {
  const clients = bounded("--clients", options.clients, CLIENTS_MAX);
  const requests = bounded("--total", options.total, TOTAL_MAX);
  const size = wholeNumber("--size", options.size, 0);
  const keys = wholeNumber("--keys", options.keys, 1);
  const connection = connectionOptions(options);
  const endpoints = endpointsOf(options);
  const { KvClient } = await import("../../client/kv-client.ts");
  const value = Buffer.alloc(size, "v");
  const latencies = new Float64Array(requests);
  const interrupted = io.interrupted();
  let next = 0;
  let done = 0;
  const failed: { count: number; first?: ConcordError } = { count: 0 };

  const work = async (client: InstanceType<typeof KvClient>): Promise<void> => {
    while (next < requests && !interrupted.aborted) {
      const key = `${options.prefix}${next % keys}`;
      next += 1;
      const startedAt = performance.now();
      try {
        await (operation === "put" ? client.put(key, value) : client.get(key));
      } catch (error) {
        if (!ConcordError.is(error)) throw error;
        failed.count += 1;
        failed.first ??= error;
        continue;
      }
      latencies[done] = performance.now() - startedAt;
      done += 1;
      if (done % 1000 === 0) io.progress(`${done} of ${requests}`);
    }
  };
  const pool = Array.from(
    { length: clients },
    (_, at) => new KvClient(endpoints[at % endpoints.length] ?? "", connection),
  );
  const startedAt = performance.now();
  try {
    await Promise.all(pool.map(work));
  } finally {
    io.progress("");
    await Promise.all(pool.map((client) => client.close()));
  }
  const seconds = (performance.now() - startedAt) / 1000;
  // Nothing to measure: the reason is worth more than a table of zeros.
  if (done === 0 && failed.first !== undefined) throw failed.first;
  const sorted = latencies.subarray(0, done).sort();
  const at = (share: number): number => rounded(sorted[Math.min(done - 1, Math.floor(done * share))] ?? 0);
  return {
    operation,
    endpoints: endpoints.length,
    clients,
    requests: done,
    failed: failed.count,
    seconds: rounded(seconds),
    perSecond: Math.round(done / seconds),
    latencyMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
  };
}

function bounded(flag: string, text: string, maximum: number): number {
  const number = wholeNumber(flag, text, 1);
  if (number <= maximum) return number;
  throw new ConcordError("CONCORD_USAGE", `${flag} is ${number}, at most ${maximum} is allowed`);
}

const rounded = (number: number): number => Math.round(number * 1000) / 1000;

function measuredTable({ operation, requests, failed, seconds, perSecond, latencyMs, clients }: Measured): string {
  return table([
    ["OPERATION", "CLIENTS", "REQUESTS", "FAILED", "SECONDS", "PER SECOND", "P50 MS", "P99 MS", "MAX MS"],
    [
      operation,
      ...[clients, requests, failed, seconds, perSecond, latencyMs.p50, latencyMs.p99, latencyMs.max].map(String),
    ],
  ]);
}
