import { fileURLToPath } from "node:url";
import { connect } from "node:net";
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { Doors, type DoorsConfiguration, type DoorsOptions } from "../../node/api/doors.ts";
import { SILENT_LOGGER } from "../../node/observability/log.ts";
import { type TlsSource } from "../../node/security/tls.ts";
import { LocalNode } from "./local-node.ts";

export interface OpenDoors {
  readonly node: LocalNode;
  /** http://127.0.0.1:port */
  readonly url: string;
  readonly metricsUrl: string;
  readonly port: number;
  close(): Promise<void>;
}

/** The real doors on real sockets, in front of a member of one. */
export async function openDoors(
  options: Partial<DoorsConfiguration> &
    Pick<DoorsOptions, "sessionPingMs" | "sessionSlowMs"> & {
      readonly tls?: TlsSource;
      readonly node?: LocalNode;
    } = {},
): Promise<OpenDoors> {
  const { tls, node = new LocalNode(), sessionPingMs, sessionSlowMs, ...settings } = options;
  const doors = new Doors(
    node,
    {
      name: "a",
      clusterUid: "test-uid",
      listenClientUrls: [`${tls === undefined ? "http" : "https"}://127.0.0.1:0`],
      listenMetricsUrls: ["http://127.0.0.1:0"],
      clientCertAuth: tls !== undefined,
      maxRequestBytes: 1_572_864,
      maxTxnOps: 128,
      maxConnections: 1000,
      maxSessions: 100,
      maxSessionFrameBytes: 1_572_864 + 524_288,
      maxSessionRequests: 1000,
      maxSessionWatches: 100,
      maxSessionBufferBytes: 1 << 22,
      enableGrpcGateway: true,
      quotaBackendBytes: 1 << 30,
      electionTimeout: 50,
      watchProgressNotifyIntervalMs: 100,
      idempotency: { ttlMs: 86_400_000, budgetBytes: 1 << 29 },
      ...settings,
    },
    { logger: SILENT_LOGGER, tls, version: "0.0.0-test", sessionPingMs, sessionSlowMs },
  );
  const { clientUrls, metricsUrls } = await doors.open();
  const url = clientUrls[0]!;
  return {
    node,
    url,
    metricsUrl: metricsUrls[0]!,
    port: Number(new URL(url).port),
    async close() {
      node.stop();
      await doors.close();
    },
  };
}

type Request = Readonly<Record<string, unknown>>;

export interface EtcdRow {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly lease: string;
}

/** The fields of all responses that tests look at; a response has those of its own type. */
export interface EtcdMessage {
  readonly header: { readonly revision: string; readonly cluster_id: string; readonly member_id: string };
  readonly kvs: readonly EtcdRow[];
  readonly count: string;
  readonly more: boolean;
  readonly prev_kv: EtcdRow | null;
  readonly prev_kvs: readonly EtcdRow[];
  readonly deleted: string;
  readonly succeeded: boolean;
  readonly responses: readonly {
    readonly response: string;
    readonly response_range: EtcdMessage;
    readonly response_txn: EtcdMessage;
  }[];
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly fragment: boolean;
  readonly compact_revision: string;
  readonly events: readonly { readonly type: string; readonly kv: EtcdRow; readonly prev_kv: EtcdRow | null }[];
  readonly members: readonly object[];
  readonly alarms: readonly object[];
  readonly dbSize: string;
  readonly isLearner: boolean;
  readonly ID: string;
  readonly TTL: string;
  readonly grantedTTL: string;
  readonly keys: readonly Buffer[];
  readonly leases: readonly { readonly ID: string }[];
  readonly key: Buffer;
  readonly kv: EtcdRow;
  readonly leader: { readonly name: Buffer; readonly key: Buffer; readonly rev: string; readonly lease: string };
}

type UnaryMethod = (
  request: Request,
  metadata: Metadata,
  options: { readonly deadline?: number },
  done: (error: ServiceError | null, response: EtcdMessage) => void,
) => void;
type StreamMethod = (metadata: Metadata) => ClientDuplexStream<Request, EtcdMessage>;
type ServerStreamMethod = (request: Request) => ClientDuplexStream<Request, EtcdMessage>;
interface RawClient {
  readonly close: () => void;
  readonly [method: string]: UnaryMethod | StreamMethod | ServerStreamMethod | (() => void);
}

export interface StreamClient {
  send(request: Request): void;
  /** The next response, in order. */
  next(): Promise<EtcdMessage>;
  /** The status the stream ended with. */
  readonly ended: Promise<{ readonly code: number; readonly details: string }>;
  /** Responses that came and were not taken. */
  readonly waiting: number;
  pause(): void;
  resume(): void;
  finish(): void;
  cancel(): void;
}

export interface EtcdTestClient {
  call(
    service: string,
    method: string,
    request: Request,
    metadata?: Record<string, string>,
    options?: { readonly deadline?: number },
  ): Promise<EtcdMessage>;
  watch(metadata?: Record<string, string>): StreamClient;
  stream(service: string, method: string, metadata?: Record<string, string>): StreamClient;
  /** One request, many responses. */
  serverStream(service: string, method: string, request: Request): StreamClient;
  close(): void;
}

/** A plain gRPC client over the wire definition: what goes over the wire is the wire's, not a client library's. */
export function etcdClient(
  address: string,
  channel: ChannelCredentials = credentials.createInsecure(),
): EtcdTestClient {
  const includeDirs = [fileURLToPath(new URL("../../node/api/etcd/", import.meta.url))];
  const form = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true, includeDirs };
  const loaded = loadPackageDefinition(
    loadSync(["rpc.proto", "lock.proto", "election.proto"], form),
  ) as unknown as Record<string, Record<string, new (address: string, channel: ChannelCredentials) => RawClient>>;
  const services = { ...loaded["etcdserverpb"], ...loaded["v3lockpb"], ...loaded["v3electionpb"] };
  const clients = new Map<string, RawClient>();
  const client = (service: string): RawClient => {
    let made = clients.get(service);
    if (made === undefined) clients.set(service, (made = new services[service]!(address, channel)));
    return made;
  };
  const metadataOf = (pairs: Record<string, string>): Metadata => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(pairs)) metadata.set(name, value);
    return metadata;
  };
  const streamOf = (service: string, method: string, metadata: Record<string, string>): StreamClient => {
    const target = client(service);
    return streamClient((target[method] as StreamMethod).call(target, metadataOf(metadata)));
  };
  return {
    call: (service, method, request, metadata = {}, options = {}) =>
      new Promise((resolve, reject) => {
        const target = client(service);
        (target[method] as UnaryMethod).call(target, request, metadataOf(metadata), options, (error, response) => {
          if (error === null) resolve(response);
          else reject(error);
        });
      }),
    watch: (metadata = {}) => streamOf("Watch", "Watch", metadata),
    stream: (service, method, metadata = {}) => streamOf(service, method, metadata),
    serverStream: (service, method, request) => {
      const target = client(service);
      return streamClient((target[method] as ServerStreamMethod).call(target, request));
    },
    close: () => {
      for (const each of clients.values()) each.close();
    },
  };
}

function streamClient(stream: ClientDuplexStream<Request, EtcdMessage>): StreamClient {
  const responses: EtcdMessage[] = [];
  const takers: ((response: EtcdMessage) => void)[] = [];
  stream.on("data", (response: EtcdMessage) => {
    const taker = takers.shift();
    if (taker === undefined) responses.push(response);
    else taker(response);
  });
  stream.on("error", () => undefined);
  return {
    send: (request) => void stream.write(request),
    next: () => {
      const response = responses.shift();
      return response === undefined ? new Promise((resolve) => takers.push(resolve)) : Promise.resolve(response);
    },
    ended: new Promise((resolve) => stream.on("status", resolve)),
    get waiting() {
      return responses.length;
    },
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    finish: () => void stream.end(),
    cancel: () => {
      stream.cancel();
    },
  };
}

/** Sends bytes as they are and reads until the server ends the connection. */
export function rawExchange(port: number, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
  });
}
