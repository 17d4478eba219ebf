import { Type, type Static } from "typebox";

/**
 * The one description of a node's settings. From it come the types, the flags (`--data-dir`), the environment variables
 * (`CONCORD_DATA_DIR`), the keys of the configuration file (`data-dir`), defaults, validation, `--help` and the
 * reference page. Flags keep etcd's names where etcd has them.
 *
 * Precedence: flag > environment > file > default.
 */
const urls = (what: string, fallback: readonly string[]) =>
  Type.Array(Type.String({ format: "listen-url" }), {
    description: what,
    default: [...fallback],
    maxItems: 8,
    placeholder: "url,...",
  });
const file = (what: string) => Type.String({ description: what, default: "", placeholder: "path" });
const choice = <const T extends readonly [string, ...string[]]>(what: string, values: T, fallback: T[number]) =>
  Type.Unsafe<T[number]>({
    type: "string",
    enum: [...values],
    description: what,
    default: fallback,
    placeholder: values.join("|"),
  });
const whole = (what: string, options: { minimum: number; maximum: number; default: number; placeholder: string }) =>
  Type.Integer({ description: what, ...options });
const yesNo = (what: string, fallback = false) =>
  Type.Boolean({ description: what, default: fallback, placeholder: "true|false" });
const text = (what: string, fallback: string, placeholder: string, pattern?: string) =>
  Type.String({
    description: what,
    default: fallback,
    placeholder,
    maxLength: 4096,
    ...(pattern === undefined ? {} : { pattern }),
  });

const MEMBER = {
  name: text("Name of this member, unique in the cluster", "default", "name", "^[^=,\\s]{1,253}$"),
  dataDir: text("Directory of this member's data. Empty: <name>.concord in the working directory", "", "path"),
  startMode: choice(
    "static: begin or join the cluster that --initial-cluster describes. wait: do nothing until an operator founds the cluster here or adds this member",
    ["static", "wait"],
    "static",
  ),
  clusterUid: text(
    "Unique id of the cluster in its environment (the custom resource's UID); certificates are checked against it",
    "",
    "uid",
    "^[A-Za-z0-9-]{0,64}$",
  ),
  initialCluster: text("Founding list, name=peer-url pairs. Empty: this member alone", "", "name=url,..."),
  initialClusterState: choice(
    "new: found the cluster together with the other members of the list. existing: join a running one",
    ["new", "existing"],
    "new",
  ),
  initialClusterToken: text("Keeps clusters founded from equal lists apart", "concord-cluster", "token"),
  terminationMessagePath: file("File that receives one sentence when the process ends because it cannot go on"),
};

const ADDRESSES = {
  listenClientUrls: urls("Addresses for clients (gRPC, REST, admin, probes)", ["http://localhost:2379"]),
  advertiseClientUrls: urls("Client addresses told to clients. Empty: those listened on", []),
  listenPeerUrls: urls("Addresses for the other members", ["http://localhost:2380"]),
  initialAdvertisePeerUrls: urls("Peer addresses told to the other members. Empty: those listened on", []),
  enableGrpcGateway: yesNo("Serve etcd's JSON gateway, POST /v3/*, on the client addresses", true),
  listenMetricsUrls: urls(
    "Further addresses for /metrics and the probes, without TLS unless https; 9568 is the usual port. Both are also on the client addresses",
    [],
  ),
};

const SECURITY = {
  certFile: file("Server certificate of the client addresses (PEM); read again when it changes"),
  keyFile: file("Private key of the server certificate (PEM)"),
  clientCertAuth: yesNo("Ask clients for a certificate of --trusted-ca-file; implied by that flag"),
  trustedCaFile: file("CA certificates for client certificates (PEM)"),
  peerCertFile: file("Certificate of the peer addresses, shown both as server and as client (PEM)"),
  peerKeyFile: file("Private key of the peer certificate (PEM)"),
  peerClientCertAuth: yesNo("Ask members for a certificate of --peer-trusted-ca-file; implied by that flag"),
  peerTrustedCaFile: file("CA certificates for peer certificates (PEM)"),
};

const CONSENSUS = {
  heartbeatInterval: whole("Milliseconds between heartbeats of the leader", {
    minimum: 5,
    maximum: 10_000,
    default: 50,
    placeholder: "ms",
  }),
  electionTimeout: whole(
    "Milliseconds without the leader before an election; at least 5 heartbeats, and about 10 round trips between members",
    { minimum: 50, maximum: 50_000, default: 300, placeholder: "ms" },
  ),
  snapshotCount: whole("Log entries kept behind the checkpoint for members that lag, before they get a snapshot", {
    minimum: 100,
    maximum: 10_000_000,
    default: 10_000,
    placeholder: "entries",
  }),
};

const STORAGE = {
  quotaBackendBytes: whole(
    "Bytes of data, history included, beyond which writes are refused (NOSPACE). 0: the smaller of 8 GiB and 60 % of the memory this process may use",
    { minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0, placeholder: "bytes" },
  ),
  autoCompactionMode: choice("How --auto-compaction-retention is meant", ["periodic", "revision"], "periodic"),
  autoCompactionRetention: text(
    'History to keep: a duration ("30m"; a bare number means hours) or a number of revisions; 0: all of it. Empty: 1h, or 0 when an --initial-cluster flag starts the node, as in etcd',
    "",
    "duration|revisions",
  ),
};

const LIMITS = {
  maxRequestBytes: whole("Largest request of a client", {
    minimum: 1024,
    maximum: 64 * 1024 * 1024,
    default: 1_572_864,
    placeholder: "bytes",
  }),
  maxTxnOps: whole("Most operations in one branch of a txn at the etcd door; 500 at the others", {
    minimum: 1,
    maximum: 4096,
    default: 128,
    placeholder: "operations",
  }),
  maxConnections: whole("Most connections of clients at a time; further ones are closed at once", {
    minimum: 1,
    maximum: 1_000_000,
    default: 10_000,
    placeholder: "connections",
  }),
  maxSessions: whole("Most sessions (WebSocket) at a time; further ones are refused", {
    minimum: 1,
    maximum: 1_000_000,
    default: 5_000,
    placeholder: "sessions",
  }),
  maxSessionFrameBytes: whole(
    "Largest frame of a session, which may hold many requests. 0: --max-request-bytes and 512 KiB",
    { minimum: 0, maximum: 128 * 1024 * 1024, default: 0, placeholder: "bytes" },
  ),
  maxSessionRequests: whole("Most requests of a session without an answer; further ones are refused", {
    minimum: 1,
    maximum: 100_000,
    default: 1_000,
    placeholder: "requests",
  }),
  maxSessionWatches: whole("Most watches of a session", {
    minimum: 1,
    maximum: 100_000,
    default: 1_000,
    placeholder: "watches",
  }),
  maxSessionBufferBytes: whole(
    "Bytes that may wait for a session's client to read them; beyond it its watches and requests wait, and a watch that waits for long ends",
    { minimum: 65_536, maximum: 1024 * 1024 * 1024, default: 4_194_304, placeholder: "bytes" },
  ),
  idempotencyTtl: text("How long the outcome of a write with an idempotency key is remembered", "24h", "duration"),
  idempotencyBytesMax: whole(
    "Bytes of all idempotency keys that are remembered; beyond it writes with new keys are refused. 0: half of the quota",
    { minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0, placeholder: "bytes" },
  ),
  watchProgressNotifyInterval: text(
    "How often an idle watch that asked for it is told how far it has come",
    "10m",
    "duration",
  ),
};

const LOGGING = {
  logLevel: choice(
    "Least severe messages to log; dpanic, panic and fatal, which etcd has too, say nothing: no message is worse than error",
    ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"],
    "info",
  ),
  warningUnaryRequestDuration: text("Requests that take longer are warned of; 0: none", "300ms", "duration"),
};

const TRACING = {
  otlpEndpoint: text(
    "Where OTLP over HTTP is received, such as http://localhost:4318: traces go to its /v1/traces. OTEL_EXPORTER_OTLP_ENDPOINT says the same, and the exporter knows OTEL_EXPORTER_OTLP_HEADERS. Empty: no traces",
    "",
    "url",
  ),
  distributedTracingSamplingRate: whole(
    "Of a million requests without a trace of their own, how many begin one; those that their client samples always are",
    { minimum: 0, maximum: 1_000_000, default: 0, placeholder: "requests" },
  ),
  distributedTracingServiceName: text("Name of the service in traces; also OTEL_SERVICE_NAME", "concord", "name"),
  distributedTracingInstanceId: text("Name of this member in traces. Empty: --name", "", "name"),
};

/** Groups in the order of `--help`. */
export const SETTING_GROUPS = [
  { title: "Member", properties: MEMBER },
  { title: "Addresses", properties: ADDRESSES },
  { title: "Security", properties: SECURITY },
  { title: "Consensus", properties: CONSENSUS },
  { title: "Storage", properties: STORAGE },
  { title: "Limits", properties: LIMITS },
  { title: "Logging", properties: LOGGING },
  { title: "Tracing", properties: TRACING },
] as const;

export const SettingsSchema = Type.Object(
  { ...MEMBER, ...ADDRESSES, ...SECURITY, ...CONSENSUS, ...STORAGE, ...LIMITS, ...LOGGING, ...TRACING },
  { additionalProperties: false },
);

/** All settings as given, before anything is derived from them. */
export type Settings = Static<typeof SettingsSchema>;
export type SettingName = keyof Settings;

/** What the loader, the help and the reference need of one setting's schema. */
export interface SettingSchema {
  readonly type: "string" | "integer" | "boolean" | "array";
  readonly description: string;
  readonly default: unknown;
  readonly placeholder: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
}

export function settingSchema(name: SettingName): SettingSchema {
  return SettingsSchema.properties[name] as unknown as SettingSchema;
}

export const SETTING_NAMES = Object.keys(SettingsSchema.properties) as readonly SettingName[];

/** `dataDir` -> `data-dir`: the flag without its dashes, and the key in a file. */
export function flagName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `dataDir` -> `CONCORD_DATA_DIR`. */
export function variableName(name: string): string {
  return `CONCORD_${flagName(name).replaceAll("-", "_").toUpperCase()}`;
}
