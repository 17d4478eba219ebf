import { Command, CommanderError } from "commander";
import { ConcordError, exitStatus } from "../client/errors.ts";
import { registerBench } from "./commands/bench.ts";
import { registerCluster } from "./commands/cluster.ts";
import { registerCompletion } from "./commands/completion.ts";
import { registerConfig } from "./commands/config.ts";
import { registerHistory } from "./commands/history.ts";
import { registerKv } from "./commands/kv.ts";
import { registerLease } from "./commands/lease.ts";
import { registerLock } from "./commands/lock.ts";
import { registerMaintenance } from "./commands/maintenance.ts";
import { registerSnapshot } from "./commands/snapshot.ts";
import { registerWatch } from "./commands/watch.ts";
import { type CommandIo } from "./context.ts";

/** Adds commands to the program. `setStatus` sets the exit status of a command that does not fail with an error. */
export type Registration = (program: Command, setStatus: (status: number) => void) => void;

export interface ProgramOptions {
  readonly version: string;
  readonly io: CommandIo;
  /** Commands that need more than a client: `node`, `dev`, `operator`. */
  readonly registrations: readonly Registration[];
}

/** The command line: every command that exists, before anything is parsed. */
export function buildProgram(options: ProgramOptions, setStatus: (status: number) => void): Command {
  const { io } = options;
  const program = new Command("concord")
    .description("A strongly consistent key-value and coordination store")
    .version(options.version)
    .showHelpAfterError("Try --help")
    .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) })
    .exitOverride();
  for (const register of options.registrations) register(program, setStatus);
  registerKv(program, io);
  registerWatch(program, io);
  registerHistory(program, io);
  registerLease(program, io);
  registerLock(program, io, setStatus);
  registerCluster(program, io, setStatus);
  registerMaintenance(program, io, setStatus);
  registerSnapshot(program, io);
  registerConfig(program, io);
  registerBench(program, io, setStatus);
  registerCompletion(program, io);
  return program;
}

/**
 * Parses and runs.
 *
 * @param argv - without the executable and the script.
 * @returns The exit status: 0, or what the error table says (64 for a wrong command line, 76 when a write may have
 * happened). Errors are one line on standard error, `Failed: …` or `Unknown: …`, or JSON with `--output json`.
 */
export async function runProgram(argv: readonly string[], options: ProgramOptions): Promise<number> {
  let status = 0;
  const program = buildProgram(options, (next) => {
    status = next;
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitStatus("CONCORD_USAGE");
    if (!ConcordError.is(error)) throw error;
    const { code, message, retryable, outcome } = error;
    const json = argv.some((each, at) =>
      /^(-o|--output)$/.test(each) ? argv[at + 1] === "json" : /^(-o|--output=)json$/.test(each),
    );
    options.io.stderr(
      json
        ? `${JSON.stringify({ code, message, retryable, outcome })}\n`
        : outcome === "unknown"
          ? `Unknown: ${message} (${code}); read before trying again\n`
          : `Failed: ${message} (${code})\n`,
    );
    return exitStatus(code);
  }
}

/** Of standard input; the largest value or txn that a member takes is far smaller. */
const STDIN_BYTES_MAX = 64 * 1024 * 1024;

/** Standard streams and signals of this process. */
export function processIo(env: CommandIo["env"]): CommandIo {
  return {
    env,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    progress(text) {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text}`);
    },
    async readStdin() {
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > STDIN_BYTES_MAX)
          throw new ConcordError("CONCORD_USAGE", `Standard input is longer than ${STDIN_BYTES_MAX} bytes`);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks, length);
    },
    interrupted() {
      const controller = new AbortController();
      for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => controller.abort(name));
      return controller.signal;
    },
  };
}
