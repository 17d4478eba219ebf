import { Doors } from "./api/doors.ts";
import { type Assembled, openMember } from "./assembly.ts";
import { ConcordError } from "./client/errors.ts";
import { BULK_ITEMS_MAX } from "./client/rest.ts";
import { type Configuration, type TlsFiles } from "./config/configuration.ts";
import { type NodeHandle } from "./observability/events.ts";
import { type Logger } from "./observability/log.ts";
import { logSlowRequests } from "./observability/slow-requests.ts";
import type { Tracing } from "./observability/tracing.ts";
import { TlsSource } from "./security/tls.ts";
import { VERSION } from "./version.ts";

/** Leadership is handed over and what is in flight is answered within this, ms; the whole stop stays below 5 s. */
const HAND_OVER_MS = 2_500;

/** A member with its doors, as `concord node` runs it. */
export class NodeServer {
  readonly #configuration: Configuration;
  readonly #logger: Logger;
  readonly #sources: TlsSource[] = [];
  #assembled: Assembled | undefined;
  #doors: Doors | undefined;
  #tracing: Tracing | undefined;
  #endSlowLog: () => void = () => undefined;
  #stopping: Promise<void> | undefined;
  #fail: (error: Error) => void = () => undefined;
  /** Resolves with the reason when this member must not go on. */
  readonly failed: Promise<Error>;

  constructor(configuration: Configuration, logger: Logger) {
    this.#configuration = configuration;
    this.#logger = logger;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  /**
   * Opens the data directory, the peer port and the doors. The member may still wait for its cluster then; `ready` tells.
   *
   * @throws ConcordError for a configuration, a data directory or an address that cannot be used.
   */
  async start(): Promise<void> {
    const configuration = this.#configuration;
    const clientTls = this.#tls(configuration.clientTls);
    const peerTls = this.#tls(configuration.peerTls);
    try {
      this.#assembled = await openMember({
        name: configuration.name,
        dataDir: configuration.dataDir,
        listenPeerUrls: configuration.listenPeerUrls,
        advertisePeerUrls: configuration.initialAdvertisePeerUrls,
        clientUrls: configuration.advertiseClientUrls,
        initialCluster: configuration.initialMembers,
        initialClusterState: configuration.initialClusterState,
        token: configuration.initialClusterToken,
        clusterUid: configuration.clusterUid,
        heartbeatMs: configuration.heartbeatInterval,
        electionTimeoutMs: configuration.electionTimeout,
        quotaBytes: configuration.quotaBackendBytes,
        limits: {
          keyBytesMax: configuration.maxRequestBytes,
          valueBytesMax: configuration.maxRequestBytes,
          // The etcd door keeps to the configured limit; bulk requests of the REST door have their own.
          operationsMax: Math.max(configuration.maxTxnOps, BULK_ITEMS_MAX),
          nestingMax: 16,
        },
        autoCompaction: configuration.autoCompaction,
        peerTls,
        logger: this.#logger,
        onFatal: (error) => this.#fail(error),
      });
      const { node, peerStatistics } = this.#assembled;
      this.#doors = new Doors(node, configuration, {
        logger: this.#logger,
        tls: clientTls,
        version: VERSION,
        peers: peerStatistics,
      });
      this.#endSlowLog = logSlowRequests(node.handle, this.#logger, configuration.slowRequestMs);
      await this.#trace(node.handle);
      const { clientUrls, metricsUrls } = await this.#doors.open();
      this.#logger.info("Listening", { clientUrls, metricsUrls, peerUrls: configuration.listenPeerUrls });
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Resolves when the member serves linearizable reads for the first time; never, when it is stopped before. */
  async ready(): Promise<void> {
    while (this.#stopping === undefined && this.#assembled !== undefined) {
      try {
        await this.#assembled.node.ready({ timeoutMs: 1_000 });
        return;
      } catch (error) {
        if (!ConcordError.is(error)) throw error;
      }
    }
    await new Promise<never>(() => undefined);
  }

  /** Hands leadership over, answers what is in flight, and gives everything back. Below 5 s. */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#assembled?.node.handOver(HAND_OVER_MS);
    await this.#doors?.close();
    await this.#assembled?.close();
    this.#endSlowLog();
    await this.#tracing?.close();
    for (const source of this.#sources) source.close();
  }

  /** The libraries are loaded by those who want traces. */
  async #trace(handle: NodeHandle): Promise<void> {
    const { otlpEndpoint, distributedTracingServiceName, distributedTracingInstanceId } = this.#configuration;
    if (otlpEndpoint === "") return;
    const { Tracing } = await import("./observability/tracing.ts");
    this.#tracing = new Tracing(handle, {
      endpoint: otlpEndpoint,
      serviceName: distributedTracingServiceName,
      instanceId: distributedTracingInstanceId,
      samplesPerMillion: this.#configuration.distributedTracingSamplingRate,
      version: VERSION,
      logger: this.#logger,
    });
  }

  #tls(files: TlsFiles | undefined): TlsSource | undefined {
    if (files === undefined) return undefined;
    const source = new TlsSource(
      {
        certificateFile: files.certFile,
        privateKeyFile: files.keyFile,
        ...(files.caFile === undefined ? {} : { trustedCaFile: files.caFile }),
      },
      { logger: this.#logger },
    );
    source.open();
    this.#sources.push(source);
    return source;
  }
}
