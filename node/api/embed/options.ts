import { type AssemblyOptions } from "../../assembly.ts";
import { ConcordError } from "../../client/errors.ts";
import { type AutoCompaction } from "../../config/configuration.ts";
import { listenAddress } from "../../config/values.ts";
import { type IdempotencyLimits } from "../../service/idempotency.ts";

export type EmbedLogger = AssemblyOptions["logger"];

/** A member of the founding list. */
export interface FoundingMember {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

/**
 * The founding list from DNS, as a headless service of Kubernetes has it: an SRV record for each member, whose host's first
 * label is the member's name. The service must name members that are not ready yet (`publishNotReadyAddresses`).
 */
export interface MemberDiscovery {
  /** Name of the records, such as `_peer._tcp.app.default.svc`; the search list of the system applies. */
  readonly service: string;
  /**
   * Members that found the cluster. `open` waits until there are as many records; a member that has its data, or joins an
   * existing cluster, waits for its own alone.
   */
  readonly size: number;
  /** Name servers to ask instead of the system's. */
  readonly servers?: readonly string[];
}

/** The cluster that this member founds or joins. Without it the member is alone. */
export interface ClusterOptions {
  /** All members of the founding list, this one included; or where to find them. */
  readonly members: readonly FoundingMember[] | MemberDiscovery;
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
  /** Unique in the cluster. @default "default", or this host's name where members are found by DNS */
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

/** Who founds the cluster, wherever that came from; without a cluster nobody is listed. */
export interface FoundingList {
  /** Of this member. */
  readonly name: string;
  readonly members: readonly FoundingMember[];
  /** What is left of the time to be ready. */
  readonly readyTimeoutMs: number;
}

const QUOTA_BYTES = 1024 ** 3;
const HISTORY_MS = 3_600_000;
const IDEMPOTENCY_TTL_MS = 24 * 3_600_000;
export const READY_TIMEOUT_MS = 60_000;
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
export function checkOptions(options: OpenOptions, list: FoundingList): CheckedOptions {
  const { cluster, memory, dataDir } = options;
  const { name, members, readyTimeoutMs } = list;
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
  const peerUrls = members.find((member) => member.name === name)?.peerUrls ?? [];
  if (cluster !== undefined && peerUrls.length === 0)
    throw invalid(`cluster.members has no "${name}" with peer URLs, the name of this member`);
  const listenPeerUrls = cluster?.listenPeerUrls ?? peerUrls;
  for (const url of [...listenPeerUrls, ...members.flatMap((member) => member.peerUrls)]) {
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
    initialCluster: cluster === undefined ? [{ name, peerUrls: [] }] : members,
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
    readyTimeoutMs,
  };
}

function invalid(message: string): ConcordError {
  return new ConcordError("CONCORD_CONFIGURATION_INVALID", message);
}
