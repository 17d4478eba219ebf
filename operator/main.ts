import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { type OperatorFlags, parseFlags } from "./options.ts";
import { Operator } from "./operator.ts";
import { Connection } from "./runtime/connection.ts";
import { TerminalError } from "./runtime/errors.ts";
import { type KubernetesObject, RESOURCES } from "./runtime/kubernetes-object.ts";
import { createLogger, type Logger } from "./runtime/logger.ts";
import { RestClient } from "./runtime/rest-client.ts";

/** sysexits.h: the configuration is not usable; the process failed. */
const EXIT_CONFIGURATION = 78;
const EXIT_FAILED = 1;
const NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/** Entry of the launcher. @param argv arguments, `operator` first */
export function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return runOperator(argv[0] === "operator" ? argv.slice(1) : argv, env);
}

/**
 * Runs the operator until SIGTERM or SIGINT, or until it loses its leadership.
 *
 * @param argv flags, without the program's name
 * @returns the exit status: 0 after a signal, 1 after a failure or a lost leadership, 64 for bad flags, 78 when the
 * surroundings do not say what is needed
 */
export async function runOperator(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const parsed = parseFlags(argv, env);
  if (parsed.type === "exit") return parsed.code;
  const { flags } = parsed;
  const log = createLogger(flags.logLevel);
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    log.info({ signal }, "Stopping");
    stop.abort();
  };
  process.once("SIGTERM", onSignal);
  process.once("SIGINT", onSignal);
  const connection = Connection.fromDefault();
  try {
    const outcome = await start(connection, log, flags, env, stop.signal);
    log.info({ outcome }, "Stopped");
    return outcome === "stopped" ? 0 : EXIT_FAILED;
  } catch (error) {
    if (stop.signal.aborted) return 0;
    log.error({ err: error }, "Operator failed");
    return error instanceof TerminalError ? EXIT_CONFIGURATION : EXIT_FAILED;
  } finally {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
    connection.close();
  }
}

async function start(
  connection: Connection,
  log: Logger,
  flags: OperatorFlags,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<"stopped" | "lost"> {
  const podName = env["POD_NAME"] ?? hostname();
  const namespace = env["POD_NAMESPACE"] ?? namespaceOfServiceAccount() ?? connection.namespace ?? "default";
  const image = flags.image ?? (await imageOfOwnPod(connection, namespace, podName, signal));
  // The name is for people; the rest makes every process another candidate, also the next container of this pod.
  const identity = `${podName}_${randomUUID()}`;
  log.info({ image, namespaces: flags.watchNamespaces ?? "all", identity }, "Starting");
  const operator = new Operator(connection, log, {
    settings: { defaultImage: image, clusterDomain: flags.clusterDomain },
    namespaces: flags.watchNamespaces,
    leaderElection: flags.leaderElection
      ? { namespace: flags.leaderElectionNamespace ?? namespace, name: flags.leaderElectionName, identity }
      : undefined,
    healthAddress: flags.metricsAddress,
    instance: podName,
    concurrency: flags.concurrency,
    client: { queriesPerSecond: flags.kubeQps, burst: flags.kubeBurst },
    processMetrics: true,
  });
  return operator.run(signal);
}

interface OwnPod extends KubernetesObject {
  readonly spec?: { readonly containers?: readonly { readonly name: string; readonly image?: string }[] };
}

async function imageOfOwnPod(
  connection: Connection,
  namespace: string,
  podName: string,
  signal: AbortSignal,
): Promise<string> {
  const pod = await new RestClient(connection)
    .get<OwnPod>(RESOURCES.pods, namespace, podName, { signal })
    .catch((error: unknown) => {
      throw new TerminalError(`Cannot read pod ${namespace}/${podName} to learn the image; set --image`, {
        cause: error,
      });
    });
  const containers = pod?.spec?.containers ?? [];
  const image = (containers.find(({ name }) => name === "operator") ?? containers[0])?.image;
  if (image === undefined) {
    throw new TerminalError(`Cannot find pod ${namespace}/${podName} to learn the image; set --image`);
  }
  return image;
}

function namespaceOfServiceAccount(): string | undefined {
  try {
    return readFileSync(NAMESPACE_FILE, "utf8").trim();
  } catch {
    return undefined;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2), process.env);
