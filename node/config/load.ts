import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { Command, CommanderError, Option } from "commander";
import { load as parseYaml } from "js-yaml";
import { ConcordError } from "../client/errors.ts";
import { derive, type Configuration } from "./configuration.ts";
import { etcdVariableName, etcdWarnings, OTHER_ETCD_FLAGS } from "./etcd-flags.ts";
import {
  flagName,
  SETTING_GROUPS,
  SETTING_NAMES,
  settingSchema,
  variableName,
  type SettingName,
  type Settings,
} from "./schema.ts";
import { BadValue, parseSetting } from "./values.ts";

/** What the loader asks the machine for; tests give their own. */
export interface LoadOptions {
  readonly readFile?: (path: string) => string;
  /** Bytes of memory this process may use: the cgroup limit, or all there is. */
  readonly memoryBytes?: number;
}

type Source = { readonly kind: "flag" | "variable" | "file" | "default"; readonly label: string };

/**
 * The configuration of a node from its arguments (without the program's and the command's names) and environment.
 *
 * @throws ConcordError `CONCORD_USAGE` (exit status 64) for a wrong flag, `CONCORD_CONFIGURATION_INVALID` (78) for a wrong
 * variable, file or combination: one sentence that names the value and what was expected.
 */
export function loadConfiguration(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  options: LoadOptions = {},
): Configuration {
  const command = addConfigurationOptions(new Command("node").allowExcessArguments(false));
  command.exitOverride().configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError)
      throw new ConcordError("CONCORD_USAGE", error.message.replace(/^error: /, "").replace("\n", " "));
    throw error;
  }
  return configurationFrom(command.opts(), env, options);
}

/** Adds every setting as a flag, with its help, to a command of the command line. */
export function addConfigurationOptions(command: Command): Command {
  command.option("--config-file <path>", "YAML or JSON file with any of the settings below (CONCORD_CONFIG_FILE)");
  for (const { title, properties } of SETTING_GROUPS) {
    command.optionsGroup(`${title}:`);
    for (const name of Object.keys(properties) as SettingName[]) command.addOption(flagOf(name));
  }
  for (const flag of OTHER_ETCD_FLAGS) command.addOption(new Option(`--${flag} [value]`).hideHelp());
  return command;
}

/** The configuration from flags that commander has parsed already (`command.opts()`). @see loadConfiguration */
export function configurationFrom(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
  options: LoadOptions = {},
): Configuration {
  refuseUnknownVariables(env);
  const path = (flags["configFile"] as string | undefined) ?? env["CONCORD_CONFIG_FILE"] ?? env["ETCD_CONFIG_FILE"];
  const file = path === undefined || path === "" ? new Map<string, unknown>() : readSettings(path, options);
  const settings: Record<string, unknown> = {};
  const given = new Set<SettingName>();
  for (const name of SETTING_NAMES) {
    const [value, source] = pick(name, flags, env, file, path ?? "");
    if (source.kind !== "default") given.add(name);
    settings[name] = source.kind === "default" ? value : parse(name, value, source);
  }
  const warnings = etcdWarnings(flags, env, SETTING_NAMES);
  return derive(settings as Settings, { given, warnings, memoryBytes: options.memoryBytes ?? availableMemory() });
}

function flagOf(name: SettingName): Option {
  const { type, placeholder, description, default: fallback } = settingSchema(name);
  const flag = `--${flagName(name)}`;
  const value = type === "boolean" ? `[${placeholder}]` : `<${placeholder}>`;
  const shown = Array.isArray(fallback) ? fallback.join(",") : String(fallback);
  const suffix = shown === "" || type === "boolean" ? "" : `; default ${shown}`;
  const option = new Option(`${flag} ${value}`, `${description} (${variableName(name)}${suffix})`);
  // A flag given twice is a mistake somewhere in a generated command line: it is not for us to choose.
  option.argParser((text: string, previous: string | undefined) => {
    if (previous !== undefined) throw new ConcordError("CONCORD_USAGE", `${flag} is given twice`);
    return text;
  });
  return option;
}

/** Variables of OpenTelemetry that say the same as a setting. */
const SHARED_VARIABLES: Partial<Readonly<Record<SettingName, string>>> = {
  otlpEndpoint: "OTEL_EXPORTER_OTLP_ENDPOINT",
  distributedTracingServiceName: "OTEL_SERVICE_NAME",
};

function pick(
  name: SettingName,
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
  file: ReadonlyMap<string, unknown>,
  path: string,
): [unknown, Source] {
  const flag = flags[name];
  if (flag !== undefined) return [flag, { kind: "flag", label: `--${flagName(name)}` }];
  const variable = env[variableName(name)];
  // An empty variable is an unset one, as in etcd: shells and manifests cannot always leave it out.
  if (variable !== undefined && variable !== "") return [variable, { kind: "variable", label: variableName(name) }];
  const etcds = env[etcdVariableName(name)];
  if (etcds !== undefined && etcds !== "") return [etcds, { kind: "variable", label: etcdVariableName(name) }];
  const shared = SHARED_VARIABLES[name];
  const common = shared === undefined ? undefined : env[shared];
  if (shared !== undefined && common !== undefined && common !== "")
    return [common, { kind: "variable", label: shared }];
  if (file.has(name)) return [file.get(name), { kind: "file", label: `"${flagName(name)}" in ${path}` }];
  const fallback = settingSchema(name).default;
  return [Array.isArray(fallback) ? fallback.slice() : fallback, { kind: "default", label: name }];
}

function parse(name: SettingName, value: unknown, source: Source): unknown {
  try {
    return parseSetting(name, value);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    const code = source.kind === "flag" ? "CONCORD_USAGE" : "CONCORD_CONFIGURATION_INVALID";
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    throw new ConcordError(code, `${source.label} is "${shown.slice(0, 200)}", expected ${error.message}`);
  }
}

function readSettings(path: string, options: LoadOptions): ReadonlyMap<string, unknown> {
  const invalid = (sentence: string, cause?: unknown): ConcordError =>
    new ConcordError("CONCORD_CONFIGURATION_INVALID", sentence, { cause });
  let text: string;
  try {
    text = (options.readFile ?? ((from: string) => readFileSync(from, "utf8")))(path);
  } catch (cause) {
    throw invalid(`Cannot read the configuration file "${path}"`, cause);
  }
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (cause) {
    const where = cause instanceof Error ? cause.message.split("\n", 1)[0] : "";
    throw invalid(`The configuration file "${path}" is neither YAML nor JSON: ${where}`, cause);
  }
  if (parsed === undefined || parsed === null) return new Map();
  if (typeof parsed !== "object" || Array.isArray(parsed)) {
    throw invalid(`The configuration file "${path}" must be a map of settings`);
  }
  const byFlag = new Map<string, SettingName>(SETTING_NAMES.map((name) => [flagName(name), name]));
  const settings = new Map<string, unknown>();
  for (const [key, value] of Object.entries(parsed)) {
    const name = byFlag.get(key);
    if (name === undefined) throw invalid(`"${key}" in ${path} is not a setting${suggestion(key, [...byFlag.keys()])}`);
    settings.set(name, value);
  }
  return settings;
}

/** Variables that belong to Concord without being settings of a node. */
const OTHER_VARIABLES =
  /^CONCORD_(CONFIG_FILE|VERIFY|SLOW|ENDPOINTS|CACERT|CERT|KEY|LOCK_KEY|LEASE_ID|FENCING_TOKEN|IMAGE|SEEDS?|(E2E|MODEL|OPERATOR|TEST)(_.*)?)$/;
/** What Kubernetes puts into every container for a Service whose name begins with `concord`. */
const SERVICE_VARIABLES = /^CONCORD_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)$/;

/** A misspelt variable would otherwise be a setting that silently keeps its default. */
function refuseUnknownVariables(env: Readonly<Record<string, string | undefined>>): void {
  const known = new Set(SETTING_NAMES.map((name) => variableName(name)));
  for (const name of Object.keys(env)) {
    if (!name.startsWith("CONCORD_") || known.has(name)) continue;
    if (OTHER_VARIABLES.test(name) || SERVICE_VARIABLES.test(name)) continue;
    const hint = suggestion(name, [...known]);
    throw new ConcordError("CONCORD_CONFIGURATION_INVALID", `The variable ${name} is not a setting${hint}`);
  }
}

/** The closest known name, when it is close. */
function suggestion(name: string, known: readonly string[]): string {
  const closest = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .reduce((best, next) => (next.distance < best.distance ? next : best), { candidate: "", distance: 4 });
  return closest.candidate === "" ? "" : `; did you mean ${closest.candidate}?`;
}

function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}

function availableMemory(): number {
  // Without a cgroup limit the kernel reports a number far beyond any memory.
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}
