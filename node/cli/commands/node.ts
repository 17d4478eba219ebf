import { writeFileSync } from "node:fs";
import { type Command } from "commander";
import { ConcordError, exitStatus } from "../../client/errors.ts";
import { type Configuration } from "../../config/configuration.ts";
import { addConfigurationOptions, configurationFrom } from "../../config/load.ts";
import { jsonLogger, type Logger } from "../../observability/log.ts";

/** A member that runs: see `node/server.ts`. */
export interface RunningNode {
  readonly failed: Promise<Error>;
  start(): Promise<void>;
  ready(): Promise<void>;
  stop(): Promise<void>;
}

export type MakeNode = (configuration: Configuration, logger: Logger) => Promise<RunningNode>;

/** A stop that takes longer than this is cut: whoever asked for it will not wait longer either. */
const STOP_MAX_MS = 4_800;
const EXIT_INTERNAL = 70;
/** Room for one sentence in a pod's termination message. */
const TERMINATION_MESSAGE_BYTES = 4_000;

/** `concord node`: one member of a cluster, until SIGTERM or SIGINT. */
export function registerNode(
  env: Readonly<Record<string, string | undefined>>,
  make: MakeNode,
): (program: Command, setStatus: (status: number) => void) => void {
  return (program, setStatus) => {
    const command = program.command("node").description("run one member of a cluster; the flags are etcd's");
    command.option("--check-config", "check the configuration, say nothing if it is good, and end");
    addConfigurationOptions(command).action(async (flags: Record<string, unknown>) => {
      const configuration = configurationFrom(flags, env);
      if (flags["checkConfig"] === true) return;
      setStatus(await runNode(configuration, make));
    });
  };
}

async function runNode(configuration: Configuration, make: MakeNode): Promise<number> {
  const logger = jsonLogger({ level: configuration.logLevel, fields: { member: configuration.name } });
  for (const warning of configuration.warnings) logger.warn("A setting was passed over", { reason: warning });
  const node = await make(configuration, logger);
  const signal = new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => resolve(name));
  });
  try {
    await node.start();
  } catch (error) {
    return end(configuration, logger, error);
  }
  // Scripts that start etcd wait for this sentence.
  void node
    .ready()
    .then(() => logger.info("ready to serve client requests", { urls: configuration.advertiseClientUrls }));
  const ended = await Promise.race([signal, node.failed]);
  if (ended instanceof Error) {
    await within(STOP_MAX_MS, node.stop());
    return end(configuration, logger, ended);
  }
  logger.info("Stopping", { signal: ended });
  if (!(await within(STOP_MAX_MS, node.stop()))) logger.warn("The stop was cut short", {});
  return 0;
}

/** Says why in the log and, where asked for, in the termination message; the exit status comes from the error table. */
function end(configuration: Configuration, logger: Logger, error: unknown): number {
  const known = ConcordError.is(error) ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  logger.error("This member cannot go on", known === undefined ? { error } : { code: known.code, reason: message });
  if (configuration.terminationMessagePath !== "") {
    const text = JSON.stringify({ code: known?.code ?? "CONCORD_INTERNAL", message }).slice(
      0,
      TERMINATION_MESSAGE_BYTES,
    );
    try {
      writeFileSync(configuration.terminationMessagePath, `${text}\n`);
    } catch (cause) {
      logger.warn("The termination message cannot be written", { reason: String(cause) });
    }
  }
  return known === undefined ? EXIT_INTERNAL : exitStatus(known.code);
}

async function within(ms: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const done = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return done;
}
