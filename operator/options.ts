import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { parseAddress } from "./runtime/health.ts";

/** The settings of the process, from flags and the environment. */
export interface OperatorFlags {
  /** Undefined: all namespaces. */
  readonly watchNamespaces: readonly string[] | undefined;
  /** Default image of the members; undefined: that of the operator's own pod. */
  readonly image: string | undefined;
  readonly leaderElection: boolean;
  readonly leaderElectionName: string;
  /** Undefined: the namespace of the own pod, or of the kubeconfig's context. */
  readonly leaderElectionNamespace: string | undefined;
  readonly metricsAddress: string;
  readonly clusterDomain: string;
  readonly concurrency: number;
  readonly kubeQps: number;
  readonly kubeBurst: number;
  readonly logLevel: string;
}

/** What the process shall do: run, or end at once after printing help, its version or a refusal. */
export type ParsedFlags =
  { readonly type: "run"; readonly flags: OperatorFlags } | { readonly type: "exit"; readonly code: number };

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];
/** sysexits.h EX_USAGE. */
const USAGE = 64;
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const DNS_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Reads flags, and for those not given the environment variable named in the help. */
export function parseFlags(argv: readonly string[], env: NodeJS.ProcessEnv): ParsedFlags {
  const command = operatorCommand();
  try {
    applyEnvironment(command, env);
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { type: "exit", code: error.exitCode === 0 ? 0 : USAGE };
  }
  return { type: "run", flags: command.opts<OperatorFlags>() };
}

/** The flags with their defaults and help; nothing is parsed yet. */
export function operatorCommand(): Command {
  return new Command("concord operator")
    .description("Runs ConcordClusters on Kubernetes.")
    .exitOverride()
    .allowExcessArguments(false)
    .addOption(
      option("watch-namespaces", "names", "comma-separated namespaces to watch; all when empty").argParser(namespaces),
    )
    .addOption(option("image", "image", "default image of the members; the operator's own when not given"))
    .addOption(
      option("leader-election", "[boolean]", "elect one leader among several processes")
        .argParser(boolean)
        .preset("true")
        .default(true),
    )
    .addOption(option("leader-election-name", "name", "name of the Lease").default("concord-operator").argParser(dns))
    .addOption(
      option(
        "leader-election-namespace",
        "namespace",
        "namespace of the Lease; the operator's own when not given",
      ).argParser(dns),
    )
    .addOption(
      option("metrics-address", "host:port", "where /metrics, /healthz and /readyz are served")
        .default(":9568")
        .argParser(address),
    )
    .addOption(
      option("cluster-domain", "domain", "DNS domain of the Kubernetes cluster")
        .default("cluster.local")
        .argParser(dns),
    )
    .addOption(
      option("concurrency", "number", "ConcordClusters worked on at the same time").default(4).argParser(count(64)),
    )
    .addOption(
      option("kube-qps", "number", "requests per second to the Kubernetes API").default(20).argParser(count(1000)),
    )
    .addOption(
      option("kube-burst", "number", "requests at once to the Kubernetes API").default(30).argParser(count(2000)),
    )
    .addOption(option("log-level", "level", "least important log lines to write").default("info").choices(LOG_LEVELS));
}

const ENVIRONMENT_PREFIX = "CONCORD_OPERATOR_";

/** `log-level` -> `CONCORD_OPERATOR_LOG_LEVEL`. */
export function environmentName(flag: string): string {
  return ENVIRONMENT_PREFIX + flag.replaceAll("-", "_").toUpperCase();
}

function option(flag: string, value: string, description: string): Option {
  return new Option(
    `--${flag} ${value.startsWith("[") ? value : `<${value}>`}`,
    `${description} (env: ${environmentName(flag)})`,
  );
}

/** Commander reads process.env itself; here the environment is an argument. */
function applyEnvironment(command: Command, env: NodeJS.ProcessEnv): void {
  for (const each of command.options) {
    const name = environmentName(each.name());
    const value = env[name];
    if (value === undefined || value === "") continue;
    const parse = each.parseArg as ((value: string, previous: unknown) => unknown) | undefined;
    try {
      command.setOptionValueWithSource(
        each.attributeName(),
        parse === undefined ? value : parse(value, undefined),
        "env",
      );
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      command.error(`error: environment variable ${name}="${value}" is invalid. ${reason}`, { exitCode: USAGE });
    }
  }
}

function namespaces(value: string): readonly string[] | undefined {
  const names = value
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  for (const name of names) {
    if (!DNS_LABEL.test(name)) throw new InvalidArgumentError(`"${name}" is not the name of a namespace.`);
  }
  return names.length === 0 ? undefined : [...new Set(names)];
}

function dns(value: string): string {
  if (!DNS_NAME.test(value)) throw new InvalidArgumentError(`"${value}" is not a DNS name.`);
  return value;
}

function boolean(value: string): boolean {
  if (value === "true") return true;
  if (value === "false") return false;
  throw new InvalidArgumentError('Expected "true" or "false".');
}

function address(value: string): string {
  try {
    parseAddress(value);
  } catch {
    throw new InvalidArgumentError('Expected host:port, for example ":9568".');
  }
  return value;
}

function count(max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < 1 || number > max) {
      throw new InvalidArgumentError(`Expected a whole number from 1 to ${max}.`);
    }
    return number;
  };
}
