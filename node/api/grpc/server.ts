import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import { type Socket } from "node:net";
import { type ConnectionFacts } from "../../service/principal.ts";
import { connectionFacts } from "../connection.ts";
import { refuse, StreamCall, UnaryCall, type CallOptions } from "./call.ts";
import { isGrpc, parseTimeout } from "./headers.ts";
import { type Method } from "./method.ts";
import { STATUS, type GrpcStatus } from "./status.ts";

const STREAMS_PER_CONNECTION_MAX = 10_000;
const HEADER_BYTES_MAX = 16 * 1024;
/** What a client may have under way before it hears from us: on one stream, and on all of a connection. */
const STREAM_WINDOW_BYTES = 256 * 1024;
const CONNECTION_WINDOW_BYTES = 1024 * 1024;
/** How often connections are asked whether the other side is still there. One that does not answer until the next time ends. */
const KEEPALIVE_INTERVAL_MS = 30_000;
const PATH_CHARACTERS_MAX = 128;

/**
 * Floods of pings, settings and resets are ended by nghttp2 and Node.js with limits of their own. The memory of a session
 * is not limited beyond that of its streams: answers to one client may be as large as its ranges.
 */
const SESSION_OPTIONS: ServerOptions = {
  settings: {
    maxConcurrentStreams: STREAMS_PER_CONNECTION_MAX,
    maxHeaderListSize: HEADER_BYTES_MAX,
    initialWindowSize: STREAM_WINDOW_BYTES,
    enablePush: false,
  },
  maxSessionMemory: Number.MAX_SAFE_INTEGER,
};

/** A gRPC server over HTTP/2, on connections that somebody else accepted. */
export class GrpcServer {
  /** By path: `/package.Service/Method`. */
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #options: CallOptions;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Asked, and not answered yet. */
  readonly #asked = new Set<ServerHttp2Session>();
  readonly #keepalive: NodeJS.Timeout;
  #closing = false;

  constructor(methods: ReadonlyMap<string, Method>, options: CallOptions) {
    this.#methods = methods;
    this.#options = options;
    this.#keepalive = setInterval(() => this.#askConnections(), KEEPALIVE_INTERVAL_MS);
    this.#keepalive.unref();
  }

  /** Takes over a connection that speaks HTTP/2 from its first byte on. TLS is behind it already. */
  accept(socket: Socket): void {
    // A client that ended its side sends no more frames, those included that keep the connection going: it is gone.
    socket.allowHalfOpen = false;
    const facts = connectionFacts(socket);
    const session = performServerHandshake(socket, SESSION_OPTIONS);
    this.#sessions.add(session);
    session.on("stream", (stream, headers) => this.#begin(stream, headers, facts));
    // The connection ends by itself then, and its calls with it.
    session.on("error", () => undefined);
    session.once("close", () => {
      this.#sessions.delete(session);
      this.#asked.delete(session);
    });
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    if (this.#closing) session.close();
  }

  /** Tells clients to go, refuses new calls, and gives those under way `graceMs` to finish. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    clearInterval(this.#keepalive);
    const gone = [...this.#sessions].map(
      (session) =>
        new Promise<void>((resolve) => {
          session.once("close", resolve);
          session.close();
        }),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([Promise.all(gone), late]);
    clearTimeout(timer);
    for (const session of this.#sessions) session.destroy(constants.NGHTTP2_CANCEL as never);
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, connection: ConnectionFacts): void {
    stream.on("error", () => undefined);
    if (stream.destroyed || stream.closed) return;
    if (!isGrpc(headers)) {
      stream.respond({ ":status": constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE }, { endStream: true });
      return;
    }
    if (headers[":method"] !== "POST") {
      stream.respond({ ":status": constants.HTTP_STATUS_METHOD_NOT_ALLOWED, allow: "POST" }, { endStream: true });
      return;
    }
    const path = headers[":path"] ?? "";
    const method = this.#methods.get(path);
    if (method === undefined) {
      const details = `The server does not implement the method ${path.slice(0, PATH_CHARACTERS_MAX)}`;
      this.#refuse(stream, headers, undefined, { code: STATUS.unimplemented, details });
      return;
    }
    const timeoutMs = parseTimeout(headers["grpc-timeout"]);
    if (timeoutMs === undefined) {
      const details = `Invalid grpc-timeout value "${String(headers["grpc-timeout"])}"`;
      this.#refuse(stream, headers, method, { code: STATUS.internal, details });
      return;
    }
    const incoming = { stream, headers, connection, timeoutMs };
    if (method.type === "unary") new UnaryCall(method, incoming, this.#options);
    else new StreamCall(method, incoming, this.#options);
  }

  #refuse(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    method: Method | undefined,
    status: GrpcStatus,
  ): void {
    const request = this.#options.begin(method, headers);
    refuse(stream, status);
    request.end(status.code);
  }

  #askConnections(): void {
    for (const session of this.#sessions) {
      if (session.destroyed) continue;
      if (this.#asked.has(session)) {
        session.destroy();
        continue;
      }
      this.#asked.add(session);
      session.ping(() => this.#asked.delete(session));
    }
  }
}
