import { ConcordError } from "../client/errors.ts";
import { variableName, type SettingName } from "./schema.ts";

/**
 * Flags of etcd 3.7 that are no settings of Concord. They are accepted so that a manifest made for etcd starts a member,
 * each with a warning that it has no effect.
 */
export const FLAGS_WITHOUT_EFFECT: readonly string[] = [
  "auth-token",
  "auth-token-ttl",
  "backend-batch-interval",
  "backend-batch-limit",
  "backend-bbolt-freelist-type",
  "bcrypt-cost",
  "bootstrap-defrag-threshold-megabytes",
  "client-cert-file",
  "client-key-file",
  "compact-hash-check-time",
  "compaction-batch-limit",
  "compaction-sleep-interval",
  "corrupt-check-time",
  "cors",
  "discovery-cacert",
  "discovery-cert",
  "discovery-dial-timeout",
  "discovery-fallback",
  "discovery-insecure-skip-tls-verify",
  "discovery-insecure-transport",
  "discovery-keepalive-time",
  "discovery-keepalive-timeout",
  "discovery-key",
  "discovery-password",
  "discovery-proxy",
  "discovery-request-timeout",
  "discovery-srv-name",
  "discovery-user",
  "distributed-tracing-address",
  "downgrade-check-time",
  "enable-distributed-tracing",
  "enable-log-rotation",
  "enable-pprof",
  "feature-gates",
  "grpc-keepalive-interval",
  "grpc-keepalive-min-time",
  "grpc-keepalive-timeout",
  "initial-election-tick-advance",
  "listen-client-http-urls",
  "log-format",
  "log-outputs",
  "log-rotation-config-json",
  "logger",
  "max-concurrent-streams",
  "max-learners",
  "max-snapshots",
  "max-wals",
  "memory-mlock",
  "metrics",
  "peer-client-cert-file",
  "peer-client-key-file",
  "peer-skip-client-san-verification",
  "pre-vote",
  "raft-read-timeout",
  "raft-write-timeout",
  "self-signed-cert-validity",
  "snapshot-catchup-entries",
  "socket-reuse-address",
  "socket-reuse-port",
  "strict-reconfig-check",
  "unsafe-no-fsync",
  "v2-deprecation",
  "wal-dir",
  "warning-apply-duration",
];

/** What to give instead of a flag without effect, where there is something. */
const INSTEAD: Readonly<Record<string, string>> = {
  "distributed-tracing-address": "; traces are sent over HTTP to --otlp-endpoint",
  "enable-distributed-tracing": "; traces are sent once --otlp-endpoint is given",
};

interface RefusedFlag {
  /** Values that ask for nothing. */
  readonly harmless: readonly string[];
  /** Why it cannot be passed over. */
  readonly because: string;
}

const OTHER_CLUSTER =
  "the founding list is given by --initial-cluster, and a member without it would found another cluster";
const LETS_IN = "a member that passed over it would let in whom it keeps out";

/** Flags of etcd 3.7 whose neglect would change who gets in, or which cluster this is: with a value they are refused. */
export const REFUSED_FLAGS: Readonly<Record<string, RefusedFlag>> = {
  "auto-tls": { harmless: ["", "false"], because: "it would be served without TLS; give --cert-file and --key-file" },
  "cipher-suites": { harmless: [""], because: "other ciphers would be accepted" },
  "client-cert-allowed-hostname": { harmless: [""], because: LETS_IN },
  "client-crl-file": { harmless: [""], because: LETS_IN },
  discovery: { harmless: [""], because: OTHER_CLUSTER },
  "discovery-endpoints": { harmless: [""], because: OTHER_CLUSTER },
  "discovery-srv": { harmless: [""], because: OTHER_CLUSTER },
  "discovery-token": { harmless: [""], because: OTHER_CLUSTER },
  "force-new-cluster": { harmless: ["", "false"], because: "a member with data never founds anew by a flag" },
  "host-whitelist": { harmless: ["", "*"], because: LETS_IN },
  "peer-auto-tls": {
    harmless: ["", "false"],
    because: "peers would talk without TLS; give --peer-cert-file and --peer-key-file",
  },
  "peer-cert-allowed-cn": { harmless: [""], because: LETS_IN },
  "peer-cert-allowed-hostname": { harmless: [""], because: LETS_IN },
  "peer-crl-file": { harmless: [""], because: LETS_IN },
  "tls-max-version": { harmless: [""], because: "newer versions of TLS would be accepted" },
  "tls-min-version": { harmless: ["", "TLS1.2"], because: "TLS 1.2 would be accepted too" },
};

/** All flags that are accepted besides the settings. */
export const OTHER_ETCD_FLAGS: readonly string[] = [...FLAGS_WITHOUT_EFFECT, ...Object.keys(REFUSED_FLAGS)].sort();

/** Variables of etcd and of its Service in Kubernetes that are no flags. */
const OTHER_VARIABLES = /^ETCD_(UNSUPPORTED_ARCH|CONFIG_FILE|(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?))$/;

/** `dataDir` -> `ETCD_DATA_DIR`, another name of `CONCORD_DATA_DIR`. */
export function etcdVariableName(name: SettingName): string {
  return variableName(name).replace(/^CONCORD_/, "ETCD_");
}

/**
 * What a person should know of flags and variables that are etcd's alone: one sentence for each.
 *
 * @param flags - as commander parsed them: camel case
 * @throws ConcordError `CONCORD_USAGE`, `CONCORD_CONFIGURATION_INVALID` for one that cannot be passed over.
 */
export function etcdWarnings(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
  settings: readonly SettingName[],
): string[] {
  const warnings: string[] = [];
  const known = new Set(settings.map((name) => etcdVariableName(name)));
  for (const flag of OTHER_ETCD_FLAGS) {
    const variable = `ETCD_${flag.replaceAll("-", "_").toUpperCase()}`;
    known.add(variable);
    const given = flags[attributeName(flag)];
    const value = given === undefined ? env[variable] : given === true ? "true" : given;
    if (typeof value !== "string" || (given === undefined && value === "")) continue;
    const label = given === undefined ? variable : `--${flag}`;
    const refused = REFUSED_FLAGS[flag];
    if (refused === undefined) warnings.push(`${label} has no effect${INSTEAD[flag] ?? ""}`);
    else if (!refused.harmless.includes(value)) {
      const code = given === undefined ? "CONCORD_CONFIGURATION_INVALID" : "CONCORD_USAGE";
      throw new ConcordError(
        code,
        `${label} is "${value.slice(0, 200)}", which cannot be honoured: ${refused.because}`,
      );
    }
  }
  for (const variable of Object.keys(env)) {
    if (variable.startsWith("ETCD_") && !known.has(variable) && !OTHER_VARIABLES.test(variable))
      warnings.push(`The variable ${variable} is not one of etcd's settings and has no effect`);
  }
  return warnings;
}

/** As commander names what it parsed. */
function attributeName(flag: string): string {
  return flag.replace(/-[a-z0-9]/g, (part) => part.slice(1).toUpperCase());
}
