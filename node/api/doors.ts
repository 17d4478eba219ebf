import { type Configuration } from "../config/configuration.ts";
import { listenAddress } from "../config/values.ts";
import { CHANNELS } from "../observability/channels.ts";
import { type NodeHandle } from "../observability/events.ts";
import { type Logger } from "../observability/log.ts";
import { NodeMetrics, type NodeSnapshot } from "../observability/metrics.ts";
import { type PeerSnapshot } from "../observability/peer-metrics.ts";
import { type NodeApi } from "../runtime/node-api.ts";
import { type TlsSource } from "../security/tls.ts";
import { Services } from "../service/services.ts";
import { ETCD_API_VERSION } from "./etcd/definition.ts";
import { EtcdDoor } from "./etcd/door.ts";
import { Gateway } from "./gateway/gateway.ts";
import { HttpDoor } from "./http/door.ts";
import { Port } from "./port.ts";
import { RequestEvents } from "./request-events.ts";
import { SessionDoor } from "./ws/door.ts";

export type DoorsConfiguration = Pick<
  Configuration,
  | "name"
  | "clusterUid"
  | "listenClientUrls"
  | "listenMetricsUrls"
  | "clientCertAuth"
  | "maxRequestBytes"
  | "maxTxnOps"
  | "maxConnections"
  | "maxSessions"
  | "maxSessionFrameBytes"
  | "maxSessionRequests"
  | "maxSessionWatches"
  | "maxSessionBufferBytes"
  | "enableGrpcGateway"
  | "quotaBackendBytes"
  | "electionTimeout"
  | "watchProgressNotifyIntervalMs"
  | "idempotency"
>;

export interface DoorsOptions {
  readonly logger: Logger;
  /** Of the client addresses; opened and closed by the caller. */
  readonly tls: TlsSource | undefined;
  /** Version of Concord. */
  readonly version: string;
  /** Traffic with the other members, for the metrics. @default none */
  readonly peers?: () => readonly PeerSnapshot[];
  /** Between two pings of a session; a client that is silent for as long is gone. @default 15 s */
  readonly sessionPingMs?: number | undefined;
  /** How long a session may read slower than its watches run, before these end. @default 10 s */
  readonly sessionSlowMs?: number | undefined;
}

/** How long calls under way may take when a node stops. */
const CLOSE_GRACE_MS = 1000;
/** For connections that have just been accepted to say which protocol they speak. */
const DECIDE_MS = 100;
/** Idle watches of sessions are told of progress at least so often. */
const SESSION_PROGRESS_MAX_MS = 15_000;
const SESSION_PING_MS = 15_000;
/** How long a session may read slower than its watches run. */
const SESSION_SLOW_MS = 10_000;
/** For clients to close what they were told to leave. */
const LINGER_MS = 250;

/** Everything that listens for clients: opened after the node's state is loaded, closed before the node stops. */
export class Doors {
  readonly #etcd: EtcdDoor;
  readonly #sessions: SessionDoor;
  readonly #http: readonly HttpDoor[];
  readonly #ports: readonly Port[];
  readonly #metricsPorts: readonly Port[];
  readonly #metrics: NodeMetrics;
  readonly #handle: NodeHandle;
  readonly #tls: TlsSource | undefined;
  readonly #onCertificate: () => void;

  constructor(node: NodeApi, configuration: DoorsConfiguration, options: DoorsOptions) {
    const { logger, tls } = options;
    this.#handle = node.handle;
    this.#tls = tls;
    this.#onCertificate = () => {
      if (!CHANNELS.certificate.hasSubscribers) return;
      const notAfter = tls?.notAfter.toISOString() ?? "";
      CHANNELS.certificate.publish({ node: this.#handle, notAfter });
    };
    tls?.on("changed", this.#onCertificate);
    const services = new Services(node, configuration);
    this.#metrics = new NodeMetrics(this.#handle, () => this.#snapshot(node, configuration), options.peers);
    const events = new RequestEvents(this.#handle);
    this.#etcd = new EtcdDoor(services, {
      maxRequestBytes: configuration.maxRequestBytes,
      operationsMax: configuration.maxTxnOps,
      quotaBytes: configuration.quotaBackendBytes,
      electionTimeoutMs: configuration.electionTimeout,
      progressIntervalMs: configuration.watchProgressNotifyIntervalMs,
      events,
    });
    this.#sessions = new SessionDoor({
      sessionsMax: configuration.maxSessions,
      limits: {
        frameBytesMax: configuration.maxSessionFrameBytes,
        requestsMax: configuration.maxSessionRequests,
        watchesMax: configuration.maxSessionWatches,
        bufferBytesMax: configuration.maxSessionBufferBytes,
      },
      version: options.version,
      progressIntervalMs: Math.min(configuration.watchProgressNotifyIntervalMs, SESSION_PROGRESS_MAX_MS),
      pingIntervalMs: options.sessionPingMs ?? SESSION_PING_MS,
      slowMs: options.sessionSlowMs ?? SESSION_SLOW_MS,
      logger,
      events,
    });
    const shared = {
      version: options.version,
      etcdVersion: ETCD_API_VERSION,
      certificateNotAfter: () => tls?.notAfter.toISOString() ?? "",
      metrics: () => this.#metrics.text(),
      gateway: !configuration.enableGrpcGateway
        ? undefined
        : new Gateway(this.#etcd.methods, { messageBytesMax: this.#etcd.messageBytesMax, events, logger }),
      valueBytesMax: configuration.maxRequestBytes,
      progressIntervalMs: configuration.watchProgressNotifyIntervalMs,
      logger,
      events,
    };
    const http = new HttpDoor(services, { ...shared, sessions: this.#sessions, healthOnly: false });
    const healthOnly = new HttpDoor(services, { ...shared, healthOnly: true });
    this.#http = [http, healthOnly];
    const port = (url: string, door: HttpDoor, requireCertificate: boolean, etcd: EtcdDoor | undefined): Port =>
      new Port({
        address: listenAddress(url),
        tls,
        requireCertificate,
        maxConnections: configuration.maxConnections,
        logger,
        http1: (socket) => door.accept(socket),
        http2: etcd === undefined ? undefined : (socket) => etcd.accept(socket),
      });
    this.#ports = configuration.listenClientUrls.map((url) =>
      port(url, http, configuration.clientCertAuth, this.#etcd),
    );
    this.#metricsPorts = configuration.listenMetricsUrls.map((url) => port(url, healthOnly, false, undefined));
  }

  /**
   * @returns The addresses, with real ports where 0 was asked for.
   * @throws ConcordError `CONCORD_CONFIGURATION_INVALID` when an address cannot be listened on; none is left open then.
   */
  async open(): Promise<{ readonly clientUrls: readonly string[]; readonly metricsUrls: readonly string[] }> {
    try {
      const clientUrls: string[] = [];
      for (const port of this.#ports) clientUrls.push(await port.listen());
      const metricsUrls: string[] = [];
      for (const port of this.#metricsPorts) metricsUrls.push(await port.listen());
      return { clientUrls, metricsUrls };
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Takes nothing new, lets what is under way finish for a moment, then cuts what is left. */
  async close(): Promise<void> {
    const ports = [...this.#ports, ...this.#metricsPorts];
    for (const port of ports) port.stopListening();
    await Promise.all(ports.map(async (port) => port.decided(DECIDE_MS)));
    for (const door of this.#http) door.close();
    await Promise.all([this.#etcd.close(CLOSE_GRACE_MS), this.#sessions.close(CLOSE_GRACE_MS)]);
    await Promise.all(ports.map(async (port) => port.destroyConnections(LINGER_MS)));
    this.#tls?.off("changed", this.#onCertificate);
    this.#metrics.close();
  }

  #snapshot(node: NodeApi, configuration: DoorsConfiguration): NodeSnapshot {
    const info = node.info();
    const sessions = this.#sessions.numbers();
    const learners = info.members.filter((member) => member.learner).length;
    return {
      ...info,
      isLeader: info.role === "leader",
      hasLeader: info.leaderId !== "",
      isLearner: info.role === "learner",
      quotaBytes: configuration.quotaBackendBytes,
      idempotencyBytesMax: configuration.idempotency.budgetBytes,
      voters: info.members.length - learners,
      learners,
      alarms: info.alarms.length,
      watches: this.#http.reduce((sum, door) => sum + door.watchCount, this.#etcd.watchCount + sessions.watches),
      sessions: sessions.sessions,
      sessionRequests: sessions.requests,
      sessionBufferedBytes: sessions.bufferedBytes,
      sessionLimitHits: sessions.limitHits,
      certificateNotAfter: (this.#tls?.notAfter.getTime() ?? 0) / 1000,
      connections: this.#ports.reduce((sum, port) => sum + port.connectionCount, 0),
    };
  }
}
