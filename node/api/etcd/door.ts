import { type Duplex } from "node:stream";
import { Server, ServerCredentials, type ConnectionInjector } from "@grpc/grpc-js";
import { ConcordError } from "../../client/errors.ts";
import { type Services } from "../../service/services.ts";
import { EtcdCalls } from "./calls.ts";
import { clusterMethods } from "./cluster.ts";
import { loadEtcdServices } from "./definition.ts";
import { kvMethods } from "./kv.ts";
import { maintenanceMethods } from "./maintenance.ts";
import { grpcError } from "./status.ts";
import { withUnimplemented } from "./unimplemented.ts";
import { WatchStream, type WatchCall } from "./watch-stream.ts";
import { withFastCodecs } from "./wire.ts";

export interface EtcdDoorOptions {
  /** Whether the connections it is given came through TLS. */
  readonly secure: boolean;
  /** Largest request, bytes. Like etcd, messages may be 512 KiB larger to leave room for what is around it. */
  readonly maxRequestBytes: number;
  readonly quotaBytes: number;
  readonly electionTimeoutMs: number;
  readonly progressIntervalMs: number;
  /** Told of every finished unary call: method, gRPC status, milliseconds. */
  readonly observe?: (method: string, code: number, durationMs: number) => void;
}

const MESSAGE_OVERHEAD_BYTES = 512 * 1024;
const STREAMS_PER_CONNECTION_MAX = 10_000;
const HEADER_BYTES_MAX = 16 * 1024;
const WATCHES_PER_STREAM_MAX = 10_000;
const REQUEST_TIMEOUT_MS = 5000;
/** Looks without a leader, one election timeout apart, after which streams with `hasleader` end: as many as etcd takes. */
const LEADERLESS_LOOKS = 3;

/**
 * etcd's gRPC API on connections that somebody else accepted. Method paths, messages, statuses and texts are etcd's, so
 * that its clients work unchanged.
 */
export class EtcdDoor {
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  readonly #calls: EtcdCalls;
  readonly #streams = new Set<WatchStream>();
  readonly #leaderWatch: NodeJS.Timeout;
  #leaderlessLooks = 0;

  constructor(services: Services, options: EtcdDoorOptions) {
    const messageBytes = options.maxRequestBytes + MESSAGE_OVERHEAD_BYTES;
    this.#server = new Server({
      "grpc.max_receive_message_length": messageBytes,
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION_MAX,
      "grpc.max_metadata_size": HEADER_BYTES_MAX,
      "grpc.enable_channelz": 0,
    });
    // As much again as one election, so that a write outlives the change of a leader.
    this.#calls = new EtcdCalls(services, {
      secure: options.secure,
      timeoutMs: REQUEST_TIMEOUT_MS + 2 * options.electionTimeoutMs,
      observe: options.observe ?? (() => undefined),
    });
    const streamOptions = {
      progressIntervalMs: options.progressIntervalMs,
      messageBytes,
      watchesMax: WATCHES_PER_STREAM_MAX,
    };
    const { KV, Watch, Lease, Cluster, Maintenance } = loadEtcdServices();
    this.#server.addService(withFastCodecs(KV), withUnimplemented(KV, kvMethods(this.#calls)));
    this.#server.addService(Watch, { Watch: (call: WatchCall) => this.#openStream(call, streamOptions) });
    this.#server.addService(Lease, withUnimplemented(Lease, {}));
    this.#server.addService(Cluster, withUnimplemented(Cluster, clusterMethods(this.#calls)));
    this.#server.addService(Maintenance, withUnimplemented(Maintenance, maintenanceMethods(this.#calls, options)));
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#leaderWatch = setInterval(() => this.#lookForLeader(), options.electionTimeoutMs);
    this.#leaderWatch.unref();
  }

  /** Takes over a connection that speaks HTTP/2 from its first byte on. TLS is behind it already. */
  accept(connection: Duplex): void {
    this.#injector.injectConnection(connection);
  }

  get watchCount(): number {
    let count = 0;
    for (const stream of this.#streams) count += stream.watchCount;
    return count;
  }

  /** Refuses new calls, ends watches, and gives calls under way `graceMs` to finish. */
  async close(graceMs = 1000): Promise<void> {
    clearInterval(this.#leaderWatch);
    for (const stream of [...this.#streams]) stream.fail(new ConcordError("CONCORD_STOPPED"));
    this.#injector.drain(graceMs);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    this.#injector.destroy();
  }

  #openStream(call: WatchCall, options: ConstructorParameters<typeof WatchStream>[2]): void {
    try {
      this.#calls.requireLeader(call.metadata);
      this.#calls.refuseLearner();
      const stream = new WatchStream(call, this.#calls, options, () => this.#streams.delete(stream));
      this.#streams.add(stream);
    } catch (error) {
      call.emit("error", grpcError(error));
    }
  }

  #lookForLeader(): void {
    this.#leaderlessLooks = this.#calls.services.header().leaderId === "" ? this.#leaderlessLooks + 1 : 0;
    if (this.#leaderlessLooks < LEADERLESS_LOOKS) return;
    for (const stream of [...this.#streams]) {
      if (stream.wantsLeader) stream.fail(new ConcordError("CONCORD_NO_LEADER"));
    }
  }
}
