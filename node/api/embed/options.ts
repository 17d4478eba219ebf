import { type AssemblyOptions } from "../../assembly.ts";
import { ConcordError } from "../../client/errors.ts";
import { type AutoCompaction } from "../../config/configuration.ts";
import { listenAddress } from "../../config/values.ts";
import { type IdempotencyLimits } from "../../service/idempotency.ts";

export type EmbedLogger = AssemblyOptions["logger"];

/** The cluster that this member founds or joins. Without it the member is alone. */
export interface ClusterOptions {
  /** All members of the founding list, this one included: name and peer URLs. */
  readonly members: readonly { readonly name: string; readonly peerUrls: readonly string[] }[];
  /** Where this member listens for the others. @default its URLs in `members` */
  readonly listenPeerUrls?: readonly string[];
  /** `new`: found the cluster together. `existing`: wait to be added. @default "new" */
  readonly state?: "new" | "existing";
  /** Keeps clusters with equal lists apart. @default "concord-cluster" */
  readonly token?: string;
  /** Certificates for `https` peer URLs. */
  readonly tls?: AssemblyOptions["peerTls"];
}

interface CommonOptions {
  /** Unique in the cluster. @default "default" */
  readonly name?: string;
  readonly cluster?: ClusterOptions;
  /** @default no log */
  readonly logger?: EmbedLogger;
  /** Bytes of data, history included, beyond which writes are refused. @default 1 GiB */
  readonly quotaBytes?: number;
  /** How much history stays. @default one hour */
  readonly autoCompaction?: AutoCompaction;
  /** Milliseconds between heartbeats. @default 50 */
  readonly heartbeatMs?: number;
  /** Milliseconds without a leader before an election. @default 300 */
  readonly electionTimeoutMs?: number;
  /** Most that `open` waits for the cluster, ms. @default 60 000 */
  readonly readyTimeoutMs?: number;
}

/** On disk, or in memory for tests and scratch stores; exactly one of the two. */
export type OpenOptions = CommonOptions &
  ({ readonly dataDir: string; readonly memory?: false } | { readonly memory: true; readonly dataDir?: undefined });

const QUOTA_BYTES = 1024 ** 3;
const HISTORY_MS = 3_600_000;
const IDEMPOTENCY_TTL_MS = 24 * 3_600_000;
const READY_TIMEOUT_MS = 60_000;
const LIMITS = { keyBytesMax: 1024, valueBytesMax: 1_572_864, operationsMax: 500, nestingMax: 16 };
const nothing = (): void => undefined;

export const LOGGER_OFF: EmbedLogger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** Options with their defaults. */
export interface CheckedOptions extends Omit<AssemblyOptions, "logger" | "onFatal"> {
  readonly readyTimeoutMs: number;
  readonly idempotency: IdempotencyLimits;
}

/**
 * Works out the defaults.
 *
 * @throws ConcordError `CONCORD_CONFIGURATION_INVALID` for options that do not fit together.
 */
export function checkOptions(options: OpenOptions): CheckedOptions {
  const { name = "default", cluster, memory, dataDir } = options;
  // Programs in JavaScript can give both or neither.
  const given: { readonly memory?: unknown; readonly dataDir?: unknown } = options;
  if ((given.memory === true) === (typeof given.dataDir === "string" && given.dataDir !== ""))
    throw invalid("Expected either dataDir or memory: true");
  if (name === "") throw invalid('name is "", expected a name');
  const heartbeatMs = options.heartbeatMs ?? 50;
  const electionTimeoutMs = options.electionTimeoutMs ?? 300;
  if (!(heartbeatMs >= 10 && electionTimeoutMs >= 3 * heartbeatMs))
    throw invalid(
      `heartbeatMs is ${heartbeatMs} and electionTimeoutMs ${electionTimeoutMs}, expected at least 10 and three times as much`,
    );
  const peerUrls = cluster?.members.find((member) => member.name === name)?.peerUrls ?? [];
  if (cluster !== undefined && peerUrls.length === 0)
    throw invalid(`cluster.members has no "${name}" with peer URLs, the name of this member`);
  const listenPeerUrls = cluster?.listenPeerUrls ?? peerUrls;
  for (const url of [...listenPeerUrls, ...(cluster?.members.flatMap((member) => member.peerUrls) ?? [])]) {
    if (listenAddress(url).secure && cluster?.tls === undefined)
      throw invalid(`${url} is https, expected cluster.tls with it`);
  }
  const quotaBytes = options.quotaBytes ?? QUOTA_BYTES;
  return {
    name,
    dataDir: memory === true ? undefined : dataDir,
    listenPeerUrls,
    advertisePeerUrls: peerUrls,
    clientUrls: [],
    initialCluster: cluster?.members ?? [{ name, peerUrls: [] }],
    initialClusterState: cluster?.state ?? "new",
    token: cluster?.token ?? "concord-cluster",
    clusterUid: "",
    heartbeatMs,
    electionTimeoutMs,
    quotaBytes,
    idempotency: { ttlMs: IDEMPOTENCY_TTL_MS, budgetBytes: Math.floor(quotaBytes / 2) },
    limits: LIMITS,
    autoCompaction: options.autoCompaction ?? { mode: "periodic", retentionMs: HISTORY_MS },
    peerTls: cluster?.tls,
    readyTimeoutMs: options.readyTimeoutMs ?? READY_TIMEOUT_MS,
  };
}

function invalid(message: string): ConcordError {
  return new ConcordError("CONCORD_CONFIGURATION_INVALID", message);
}
