import { type Socket } from "node:net";
import { type MethodDefinition } from "@grpc/proto-loader";
import { ConcordError } from "../../client/errors.ts";
import { InvariantError } from "../../machine/assert.ts";
import { type RequestKind } from "../../observability/events.ts";
import { type Services } from "../../service/services.ts";
import { type MessageStream, type Method, type StreamListener, type StreamMethod } from "../grpc/method.ts";
import { GrpcServer } from "../grpc/server.ts";
import { type RequestEvents } from "../request-events.ts";
import { authMethods } from "./auth.ts";
import { EtcdCalls, type UnaryHandlers } from "./calls.ts";
import { clusterMethods } from "./cluster.ts";
import { type EtcdServices, loadEtcdServices } from "./definition.ts";
import { KeepAliveStream } from "./keep-alive-stream.ts";
import { kvMethods } from "./kv.ts";
import { electionMethods, lockMethods } from "./concurrency.ts";
import { leaseMethods } from "./lease.ts";
import { ObserveStream } from "./observe-stream.ts";
import { maintenanceMethods } from "./maintenance.ts";
import { type RangeStreamResponse, type SnapshotResponse } from "./messages.ts";
import { RangeStream } from "./range-stream.ts";
import { SnapshotStream } from "./snapshot-stream.ts";
import { grpcStatus } from "./status.ts";
import { WatchStream } from "./watch-stream.ts";
import { codecOf } from "./wire.ts";

export interface EtcdDoorOptions {
  /** Largest request, bytes. Like etcd, messages may be 512 KiB larger to leave room for what is around it. */
  readonly maxRequestBytes: number;
  /** Operations of a txn, counted as etcd counts them. */
  readonly operationsMax: number;
  readonly quotaBytes: number;
  readonly electionTimeoutMs: number;
  readonly progressIntervalMs: number;
  /** Told of every request. */
  readonly events: RequestEvents;
}

const MESSAGE_OVERHEAD_BYTES = 512 * 1024;
const WATCHES_PER_STREAM_MAX = 10_000;
/** Snapshots under way at once: each holds on to the state it began with. */
const SNAPSHOTS_MAX = 4;
const REQUEST_TIMEOUT_MS = 5000;
/** Looks without a leader, one election timeout apart, after which streams with `hasleader` end: as many as etcd takes. */
const LEADERLESS_LOOKS = 3;

/**
 * etcd's gRPC API on connections that somebody else accepted. Method paths, messages, statuses and texts are etcd's, so
 * that its clients work unchanged.
 */
export class EtcdDoor {
  /** Every method by its path, for whoever else serves them. Their streams end with this door. */
  readonly methods: ReadonlyMap<string, Method>;
  /** Largest message of a client, bytes. */
  readonly messageBytesMax: number;
  readonly #server: GrpcServer;
  readonly #calls: EtcdCalls;
  readonly #watches = new Set<WatchStream>();
  readonly #renewals = new Set<KeepAliveStream>();
  readonly #observers = new Set<ObserveStream>();
  readonly #ranges = new Set<RangeStream>();
  readonly #snapshots = new Set<SnapshotStream>();
  readonly #leaderWatch: NodeJS.Timeout;
  #leaderlessLooks = 0;

  constructor(services: Services, options: EtcdDoorOptions) {
    const messageBytes = options.maxRequestBytes + MESSAGE_OVERHEAD_BYTES;
    this.messageBytesMax = messageBytes;
    // As much again as one election, so that a write outlives the change of a leader.
    this.#calls = new EtcdCalls(services, { timeoutMs: REQUEST_TIMEOUT_MS + 2 * options.electionTimeoutMs });
    const { progressIntervalMs } = options;
    const watchOptions = { progressIntervalMs, messageBytes, watchesMax: WATCHES_PER_STREAM_MAX };
    const streams: StreamOpeners = {
      Watch: this.#opens(this.#watches, (call, closed) => new WatchStream(call, this.#calls, watchOptions, closed)),
      LeaseKeepAlive: this.#opens(this.#renewals, (call, closed) => new KeepAliveStream(call, this.#calls, closed)),
      Observe: this.#opens(this.#observers, (call, closed) => new ObserveStream(call, this.#calls, closed)),
      RangeStream: (call) => this.#openRange(call, options.maxRequestBytes),
      Snapshot: (call) => this.#openSnapshot(call),
    };
    const unary: Readonly<Record<keyof EtcdServices, UnaryHandlers>> = {
      KV: kvMethods(this.#calls, options),
      Watch: {},
      Lease: leaseMethods(this.#calls),
      Cluster: clusterMethods(this.#calls),
      Maintenance: maintenanceMethods(this.#calls, options),
      Lock: lockMethods(this.#calls),
      Election: electionMethods(this.#calls),
      Auth: authMethods(this.#calls),
    };
    this.methods = methodTable(unary, streams);
    this.#server = new GrpcServer(this.methods, {
      messageBytesMax: messageBytes,
      statusOf: grpcStatus,
      begin: (method, headers) =>
        options.events.begin("etcd", method?.name ?? "other", { ...method, traceparent: headers["traceparent"] }),
    });
    this.#leaderWatch = setInterval(() => this.#lookForLeader(), options.electionTimeoutMs);
    this.#leaderWatch.unref();
  }

  /** Takes over a connection that speaks HTTP/2 from its first byte on. TLS is behind it already. */
  accept(connection: Socket): void {
    this.#server.accept(connection);
  }

  get watchCount(): number {
    let count = 0;
    for (const stream of this.#watches) count += stream.watchCount;
    return count;
  }

  /** Refuses new calls, ends streams, and gives calls under way `graceMs` to finish. */
  async close(graceMs = 1000): Promise<void> {
    clearInterval(this.#leaderWatch);
    for (const stream of this.#streams) stream.fail(new ConcordError("CONCORD_STOPPED"));
    await this.#server.close(graceMs);
  }

  get #streams(): (WatchStream | KeepAliveStream | ObserveStream | RangeStream | SnapshotStream)[] {
    return [...this.#watches, ...this.#renewals, ...this.#observers, ...this.#ranges, ...this.#snapshots];
  }

  /** How a stream of one kind begins, and is kept in `open` for as long as it lasts. */
  #opens<Request, Response, Stream extends StreamListener<Request>>(
    open: Set<Stream>,
    make: (call: MessageStream<Response>, closed: () => void) => Stream,
  ): StreamOpener {
    return (call) => {
      this.#calls.requireLeader(call);
      this.#calls.refuseLearner();
      const stream = make(call, () => open.delete(stream));
      open.add(stream);
      return stream;
    };
  }

  /** A learner answers those that are serializable. */
  #openRange(call: MessageStream<RangeStreamResponse>, partBytes: number): RangeStream {
    this.#calls.requireLeader(call);
    const stream = new RangeStream(call, this.#calls, { partBytes }, () => this.#ranges.delete(stream));
    this.#ranges.add(stream);
    return stream;
  }

  /** As at etcd, a learner gives one too. */
  #openSnapshot(call: MessageStream<SnapshotResponse>): SnapshotStream {
    this.#calls.requireLeader(call);
    const stream = new SnapshotStream(call, this.#calls, () => this.#snapshots.delete(stream));
    if (this.#snapshots.size >= SNAPSHOTS_MAX) throw new ConcordError("CONCORD_TOO_MANY_REQUESTS");
    this.#snapshots.add(stream);
    return stream;
  }

  #lookForLeader(): void {
    this.#leaderlessLooks = this.#calls.services.header().leaderId === "" ? this.#leaderlessLooks + 1 : 0;
    if (this.#leaderlessLooks < LEADERLESS_LOOKS) return;
    for (const stream of this.#streams) {
      if (stream.wantsLeader) stream.fail(new ConcordError("CONCORD_NO_LEADER"));
    }
  }
}

type StreamOpener = StreamMethod<never, never>["open"];
/** By the names of rpc.proto. */
type StreamOpeners = Readonly<Record<string, StreamOpener>>;

function kindOf({ requestStream, responseStream }: MethodDefinition<object, object>): RequestKind {
  if (requestStream) return "bidiStream";
  return responseStream ? "serverStream" : "unary";
}

/** Every method of the services by its path. */
function methodTable(
  unary: Readonly<Record<keyof EtcdServices, UnaryHandlers>>,
  streams: StreamOpeners,
): ReadonlyMap<string, Method> {
  const methods = new Map<string, Method>();
  for (const [service, definition] of Object.entries(loadEtcdServices())) {
    for (const [name, method] of Object.entries(definition)) {
      const called = { service: method.path.slice(1, method.path.lastIndexOf("/")), name, kind: kindOf(method) };
      const handle = unary[service as keyof EtcdServices][name];
      const open = streams[name];
      const codec = codecOf(method);
      if (handle !== undefined) methods.set(method.path, { ...called, type: "unary", codec, handle } as Method);
      else if (open !== undefined) methods.set(method.path, { ...called, type: "stream", codec, open } as Method);
      else throw new InvariantError(`${name} has no handler`);
    }
  }
  return methods;
}
