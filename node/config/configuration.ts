import { ConcordError } from "../client/errors.ts";
import { type Settings, type SettingName } from "./schema.ts";
import { BadValue, durationMs, listenAddress, url } from "./values.ts";

/** How much history stays. */
export type AutoCompaction =
  | { readonly mode: "off" }
  | { readonly mode: "periodic"; readonly retentionMs: number }
  | { readonly mode: "revision"; readonly revisions: number };

export interface InitialMember {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

/** PEM files of one set of addresses. With `caFile` the other side must show a certificate of that CA. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string | undefined;
}

/** All settings, checked against each other, defaults worked out, deeply frozen. */
export interface Configuration extends Readonly<
  Omit<
    Settings,
    "watchProgressNotifyInterval" | "idempotencyTtl" | "idempotencyBytesMax" | "warningUnaryRequestDuration"
  >
> {
  /** The founding list; empty in mode `wait`. */
  readonly initialMembers: readonly InitialMember[];
  readonly clientTls: TlsFiles | undefined;
  readonly peerTls: TlsFiles | undefined;
  readonly autoCompaction: AutoCompaction;
  readonly watchProgressNotifyIntervalMs: number;
  /** Infinite: no request is warned of. */
  readonly slowRequestMs: number;
  /** What the person who started the node should know: flags of etcd that have no effect. */
  readonly warnings: readonly string[];
  /** Of the outcomes of writes with idempotency keys. */
  readonly idempotency: { readonly ttlMs: number; readonly budgetBytes: number };
}

const QUOTA_BYTES_MAX = 8 * 1024 ** 3;
const QUOTA_SHARE_OF_MEMORY = 0.6;
/** A retry comes within a minute at most; nobody waits for one longer than a year. */
const IDEMPOTENCY_TTL_MIN_MS = 60_000;
const IDEMPOTENCY_TTL_MAX_MS = 8760 * 3_600_000;
const SESSION_FRAME_OVERHEAD_BYTES = 512 * 1024;
const RETENTION_DEFAULT_MS = 3_600_000;
/** Raft's rule of thumb, as a rule: an election never starts because one heartbeat was late. */
const HEARTBEATS_PER_ELECTION_MIN = 5;

/** What the settings alone do not tell. */
interface Circumstances {
  /** The settings that somebody gave, as opposed to defaults. */
  readonly given: ReadonlySet<SettingName>;
  readonly warnings: readonly string[];
  readonly memoryBytes: number;
}

/**
 * Checks the settings against each other and works out what follows from them.
 *
 * @throws ConcordError `CONCORD_CONFIGURATION_INVALID`
 */
export function derive(settings: Settings, { given, warnings, memoryBytes }: Circumstances): Configuration {
  const { watchProgressNotifyInterval, idempotencyTtl, idempotencyBytesMax, warningUnaryRequestDuration, ...kept } =
    settings;
  const clientTls = tlsFiles(settings, "client");
  const peerTls = tlsFiles(settings, "peer");
  if (settings.electionTimeout < settings.heartbeatInterval * HEARTBEATS_PER_ELECTION_MIN) {
    throw invalid(
      `--election-timeout is ${settings.electionTimeout} ms, expected at least ${HEARTBEATS_PER_ELECTION_MIN} times --heartbeat-interval (${settings.heartbeatInterval} ms)`,
    );
  }
  if (settings.listenClientUrls.length === 0) throw invalid("--listen-client-urls is empty, expected at least one URL");
  if (settings.listenPeerUrls.length === 0) throw invalid("--listen-peer-urls is empty, expected at least one URL");
  const secureMetrics = settings.listenMetricsUrls.find((each) => listenAddress(each).secure);
  if (secureMetrics !== undefined && clientTls === undefined) {
    throw invalid(`--listen-metrics-urls contains ${secureMetrics}, expected http, or --cert-file and --key-file`);
  }
  const resolved = {
    ...kept,
    dataDir: settings.dataDir === "" ? `${settings.name}.concord` : settings.dataDir,
    advertiseClientUrls: advertised(settings.advertiseClientUrls, settings.listenClientUrls, "advertise-client-urls"),
    initialAdvertisePeerUrls: advertised(
      settings.initialAdvertisePeerUrls,
      settings.listenPeerUrls,
      "initial-advertise-peer-urls",
    ),
    maxSessionFrameBytes: sessionFrameBytes(settings),
    clientCertAuth: clientTls?.caFile !== undefined,
    peerClientCertAuth: peerTls?.caFile !== undefined,
    quotaBackendBytes:
      settings.quotaBackendBytes > 0
        ? settings.quotaBackendBytes
        : Math.min(QUOTA_BYTES_MAX, Math.floor(memoryBytes * QUOTA_SHARE_OF_MEMORY)),
  };
  return deepFreeze({
    ...resolved,
    initialMembers: initialMembers(resolved, given),
    clientTls,
    peerTls,
    autoCompaction: autoCompaction(settings, startedLikeEtcd(given)),
    watchProgressNotifyIntervalMs: progressInterval(watchProgressNotifyInterval),
    slowRequestMs: slowRequest(warningUnaryRequestDuration),
    otlpEndpoint: otlpEndpoint(settings.otlpEndpoint),
    distributedTracingInstanceId: settings.distributedTracingInstanceId || settings.name,
    warnings,
    idempotency: {
      ttlMs: idempotencyTtlMs(idempotencyTtl),
      budgetBytes: idempotencyBytesMax > 0 ? idempotencyBytesMax : Math.floor(resolved.quotaBackendBytes / 2),
    },
  });
}

/** A request of the largest size fits into a frame. */
function sessionFrameBytes({ maxSessionFrameBytes: given, maxRequestBytes }: Settings): number {
  const least = maxRequestBytes + SESSION_FRAME_OVERHEAD_BYTES;
  if (given === 0) return least;
  if (given >= least) return given;
  throw invalid(`--max-session-frame-bytes is ${given}, expected at least --max-request-bytes and 512 KiB, ${least}`);
}

function idempotencyTtlMs(text: string): number {
  const ttlMs = durationMs(text);
  if (ttlMs === undefined || ttlMs < IDEMPOTENCY_TTL_MIN_MS || ttlMs > IDEMPOTENCY_TTL_MAX_MS)
    throw invalid(`--idempotency-ttl is "${text}", expected a duration from 1m to 8760h`);
  return ttlMs;
}

/** Whether etcd's founding flags start the node: then etcd's default (no automatic compaction) holds too. */
function startedLikeEtcd(given: ReadonlySet<SettingName>): boolean {
  return given.has("initialCluster") || given.has("initialClusterState") || given.has("initialClusterToken");
}

function initialMembers(
  settings: Pick<Settings, "name" | "startMode" | "initialCluster" | "initialAdvertisePeerUrls">,
  given: ReadonlySet<SettingName>,
): readonly InitialMember[] {
  const { name, initialAdvertisePeerUrls } = settings;
  if (settings.startMode === "wait") {
    if (startedLikeEtcd(given)) {
      throw invalid(
        "--start-mode is wait, expected no --initial-cluster flags with it: an operator founds the cluster",
      );
    }
    return [];
  }
  if (settings.initialCluster === "") return [{ name, peerUrls: initialAdvertisePeerUrls }];
  const members = parseInitialCluster(settings.initialCluster);
  const own = members.find((member) => member.name === name);
  if (own === undefined) throw invalid(`--initial-cluster does not contain this member's name "${name}"`);
  const wanted = [...initialAdvertisePeerUrls].sort().join(",");
  if ([...own.peerUrls].sort().join(",") !== wanted) {
    throw invalid(
      `--initial-cluster has ${own.peerUrls.join(",")} for "${name}", expected the value of --initial-advertise-peer-urls: ${initialAdvertisePeerUrls.join(",")}`,
    );
  }
  return members;
}

/** `a=http://h1:2380,b=http://h2:2380`; a name with several URLs is repeated. */
function parseInitialCluster(text: string): readonly InitialMember[] {
  const byName = new Map<string, string[]>();
  const seen = new Set<string>();
  for (const pair of text.split(",")) {
    const separator = pair.indexOf("=");
    const name = pair.slice(0, Math.max(separator, 0)).trim();
    let peerUrl: string;
    try {
      peerUrl = url(pair.slice(separator + 1));
    } catch (error) {
      if (error instanceof BadValue) peerUrl = "";
      else throw error;
    }
    if (name === "" || peerUrl === "") {
      throw invalid(`--initial-cluster contains "${pair}", expected name=url like a=https://host:2380`);
    }
    if (seen.has(peerUrl)) throw invalid(`--initial-cluster contains ${peerUrl} twice`);
    seen.add(peerUrl);
    byName.set(name, [...(byName.get(name) ?? []), peerUrl]);
  }
  return [...byName].map(([name, peerUrls]) => ({ name, peerUrls }));
}

function advertised(explicit: readonly string[], listen: readonly string[], flag: string): string[] {
  if (explicit.length > 0) return [...explicit];
  for (const each of listen) {
    const { host } = listenAddress(each);
    if (host === "0.0.0.0" || host === "::") {
      throw invalid(`--${flag} is not given, expected an address that others can reach: the node listens on ${each}`);
    }
  }
  return [...listen];
}

function tlsFiles(settings: Settings, side: "client" | "peer"): TlsFiles | undefined {
  const client = side === "client";
  const prefix = client ? "" : "peer-";
  const certFile = client ? settings.certFile : settings.peerCertFile;
  const keyFile = client ? settings.keyFile : settings.peerKeyFile;
  const caFile = client ? settings.trustedCaFile : settings.peerTrustedCaFile;
  const asksForCertificates = client ? settings.clientCertAuth : settings.peerClientCertAuth;
  const listen = client ? settings.listenClientUrls : settings.listenPeerUrls;
  const listenFlag = client ? "listen-client-urls" : "listen-peer-urls";
  if ((certFile === "") !== (keyFile === "")) {
    const [missing, present] = certFile === "" ? ["cert", "key"] : ["key", "cert"];
    throw invalid(`--${prefix}${missing}-file is not given, expected one together with --${prefix}${present}-file`);
  }
  const withTls = certFile !== "";
  for (const each of listen) {
    // Never quietly less secure than the files suggest.
    if (listenAddress(each).secure !== withTls) {
      throw invalid(
        withTls
          ? `--${listenFlag} contains ${each}, expected https because --${prefix}cert-file is given`
          : `--${listenFlag} contains ${each}, expected http, or --${prefix}cert-file and --${prefix}key-file`,
      );
    }
  }
  if (asksForCertificates && caFile === "") {
    throw invalid(`--${prefix}trusted-ca-file is not given, expected one with --${prefix}client-cert-auth`);
  }
  if (!withTls) {
    if (caFile !== "") throw invalid(`--${prefix}trusted-ca-file is given, expected --${prefix}cert-file with it`);
    return undefined;
  }
  return { certFile, keyFile, caFile: caFile === "" ? undefined : caFile };
}

function autoCompaction(settings: Settings, likeEtcd: boolean): AutoCompaction {
  const { autoCompactionMode: mode, autoCompactionRetention: retention } = settings;
  if (retention === "") {
    if (mode === "revision") {
      throw invalid("--auto-compaction-retention is not given, expected a number of revisions");
    }
    return likeEtcd ? { mode: "off" } : { mode: "periodic", retentionMs: RETENTION_DEFAULT_MS };
  }
  const count = /^\d{1,12}$/.test(retention) ? Number(retention) : undefined;
  if (count === 0) return { mode: "off" };
  if (mode === "revision") {
    if (count !== undefined) return { mode: "revision", revisions: count };
    throw invalid(`--auto-compaction-retention is "${retention}", expected a number of revisions`);
  }
  const retentionMs = count === undefined ? durationMs(retention) : count * 3_600_000;
  if (retentionMs === undefined) {
    throw invalid(`--auto-compaction-retention is "${retention}", expected a duration like 30m or a number of hours`);
  }
  return retentionMs === 0 ? { mode: "off" } : { mode: "periodic", retentionMs };
}

function progressInterval(text: string): number {
  const interval = durationMs(text);
  if (interval !== undefined && interval >= 100) return interval;
  throw invalid(`--watch-progress-notify-interval is "${text}", expected a duration of at least 100ms`);
}

function slowRequest(text: string): number {
  const durationOrZero = text === "0" ? 0 : durationMs(text);
  if (durationOrZero === undefined)
    throw invalid(`--warning-unary-request-duration is "${text}", expected a duration like 300ms, or 0`);
  return durationOrZero === 0 ? Number.POSITIVE_INFINITY : durationOrZero;
}

/** Without the slash at its end. */
function otlpEndpoint(text: string): string {
  if (text === "") return text;
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text.replace(/\/+$/, "");
  throw invalid(`--otlp-endpoint is "${text}", expected an http or https URL like http://localhost:4318`);
}

function invalid(sentence: string): ConcordError {
  return new ConcordError("CONCORD_CONFIGURATION_INVALID", sentence);
}

function deepFreeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) {
    if (typeof each === "object" && each !== null) deepFreeze(each as object);
  }
  return Object.freeze(value);
}
