import { createServer, type IncomingMessage, type Server, ServerResponse } from "node:http";
import { type Duplex } from "node:stream";
import { type Socket } from "node:net";
import { ConcordError } from "../../client/errors.ts";
import { type Logger } from "../../observability/log.ts";
import { type Services } from "../../service/services.ts";
import { type Gateway } from "../gateway/gateway.ts";
import { isGatewayPath } from "../gateway/routes.ts";
import { type RequestEvents } from "../request-events.ts";
import { isSessionPath, type SessionDoor } from "../ws/door.ts";
import { handleBulk, isBulkPath } from "./bulk.ts";
import { handleAdmin, isAdminPath, type AdminOptions } from "./admin.ts";
import { type EventStream } from "./event-stream.ts";
import { Exchange } from "./exchange.ts";
import { handleHealth, type HealthOptions } from "./health.ts";
import { handleHistory, isHistoryPath } from "./history.ts";
import { handleIdempotency, isIdempotencyPath } from "./idempotency.ts";
import { handleKv, isKvPath } from "./kv.ts";
import { handleLease, isLeasePath } from "./lease.ts";
import { handleLock, isLockPath } from "./lock.ts";
import { problemOf, sendProblem } from "./problem.ts";
import { handleTxn, isTxnPath } from "./txn.ts";
import { handleWatch, isWatchPath, type WatchOptions } from "./watch.ts";

export interface HttpDoorOptions extends AdminOptions, HealthOptions {
  readonly valueBytesMax: number;
  /** Of idle watches; at least every 15 s. */
  readonly progressIntervalMs: number;
  /** Only probes and metrics: for addresses that need no certificate. */
  readonly healthOnly: boolean;
  /** Undefined: it is switched off. */
  readonly gateway: Gateway | undefined;
  /** Takes connections that become sessions. @default none is opened */
  readonly sessions?: SessionDoor;
  /** For the body of a request to arrive. @default 60 s */
  readonly bodyTimeoutMs?: number;
  readonly logger: Logger;
  /** Told of every request but those of the gateway, which tells of its own. */
  readonly events: RequestEvents;
}

const SWITCHING_PROTOCOLS = 101;
const HEADERS_TIMEOUT_MS = 10_000;
/** Behind the headers. */
const BODY_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 75_000;
const CHECK_INTERVAL_MS = 1000;
/** The parser's own limit is wide, so that Exchange can tell a long address (414) from large headers (431). */
const PARSER_HEADER_BYTES_MAX = 80 * 1024;

interface Route {
  /** For metrics. */
  readonly name: string;
  readonly has: (path: string) => boolean;
  readonly handle: (exchange: Exchange, options: HttpDoorOptions & WatchOptions) => Promise<void>;
}

/** Everything but the probes and metrics. */
const ROUTES: readonly Route[] = [
  { name: "kv", has: isKvPath, handle: handleKv },
  { name: "history", has: isHistoryPath, handle: handleHistory },
  { name: "bulk", has: isBulkPath, handle: handleBulk },
  { name: "txn", has: isTxnPath, handle: handleTxn },
  { name: "idempotency", has: isIdempotencyPath, handle: handleIdempotency },
  { name: "lease", has: isLeasePath, handle: handleLease },
  { name: "lock", has: isLockPath, handle: handleLock },
  { name: "watch", has: isWatchPath, handle: handleWatch },
  { name: "session", has: isSessionPath, handle: refuseSession },
  { name: "admin", has: isAdminPath, handle: handleAdmin },
  {
    name: "gateway",
    has: isGatewayPath,
    handle: async (exchange, { gateway }) => {
      if (gateway === undefined) throw exchange.noSuchRoute();
      await gateway.handle(exchange);
    },
  },
];

/** REST, etcd's JSON gateway, admin and probes over HTTP/1.1, on connections that somebody else accepted. */
export class HttpDoor {
  readonly #server: Server;
  readonly #services: Services;
  readonly #options: HttpDoorOptions & WatchOptions;
  readonly #streams = new Set<EventStream>();

  constructor(services: Services, options: HttpDoorOptions) {
    this.#services = services;
    this.#options = { ...options, streams: this.#streams };
    this.#server = createServer({
      maxHeaderSize: PARSER_HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      // This one knows no exception, and the body of a stream of requests stays open: see #limitBody.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      requireHostHeader: true,
      // Offers of HTTP/2 and of anything else are passed over, as HTTP allows.
      shouldUpgradeCallback: (request) => isWebSocket(request),
    });
    // Node cuts headers beyond this number off in silence; Exchange counts and refuses them instead.
    this.#server.maxHeadersCount = 0;
    const handle = (request: IncomingMessage, response: ServerResponse): void => void this.#handle(request, response);
    this.#server.on("request", handle).on("checkContinue", handle);
    this.#server.on("checkExpectation", handle);
    this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on("clientError", (error: Error & { code?: string }, socket) => answerBroken(error, socket));
    // Connections come from the ports, so the server never listens; this starts its watch over slow requests.
    this.#server.emit("listening");
  }

  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  get watchCount(): number {
    return this.#streams.size;
  }

  /** Ends idle connections at once, watches too, and busy ones after their answer. */
  close(): void {
    this.#server.close();
    for (const stream of this.#streams) stream.end();
    this.#server.closeIdleConnections();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(request, response, this.#services);
    const route = this.#routeOf(exchange);
    if (route === undefined) {
      await this.#serve(exchange);
      return;
    }
    const { traceparent } = request.headers;
    const kind = route === "watch" ? "serverStream" : "unary";
    const open = this.#options.events.begin("http", route, { kind, traceparent });
    await open.run(() => this.#serve(exchange));
    open.end(response.statusCode);
  }

  /** Resolves when the answer is complete. Never rejects: what fails is answered. */
  async #serve(exchange: Exchange): Promise<void> {
    try {
      exchange.checkLimits();
      this.#limitBody(exchange);
      await this.#dispatch(exchange);
    } catch (error) {
      this.#fail(exchange, error);
    }
  }

  /** A name that no client can choose; undefined for what the gateway tells of. */
  #routeOf({ path }: Exchange): string | undefined {
    const name = routeOf(path);
    if (name !== "gateway") return name;
    return this.#options.healthOnly || this.#options.gateway === undefined ? "other" : undefined;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const response = new ServerResponse(request);
    response.assignSocket(request.socket);
    response.shouldKeepAlive = false;
    const exchange = new Exchange(request, response, this.#services);
    const open = this.#options.events.begin("http", "session", { traceparent: request.headers["traceparent"] });
    try {
      exchange.checkLimits();
      const { sessions } = this.#options;
      if (sessions === undefined || !isSessionPath(exchange.path)) throw exchange.noSuchRoute();
      sessions.open(exchange, socket, head);
      open.end(SWITCHING_PROTOCOLS);
    } catch (error) {
      response.once("finish", () => socket.end());
      this.#fail(exchange, error);
      open.end(response.statusCode);
    }
  }

  #limitBody(exchange: Exchange): void {
    const { request } = exchange;
    const { headers } = request;
    if (headers["content-length"] === undefined && headers["transfer-encoding"] === undefined) return;
    const timer = setTimeout(() => {
      if (request.complete || exchange.bodyStaysOpen) return;
      answerBroken(Object.assign(new Error(), { code: "ERR_HTTP_REQUEST_TIMEOUT" }), request.socket);
    }, this.#options.bodyTimeoutMs ?? BODY_TIMEOUT_MS);
    timer.unref();
    request.once("close", () => clearTimeout(timer));
  }

  async #dispatch(exchange: Exchange): Promise<void> {
    if (await handleHealth(exchange, this.#options)) return;
    if (!this.#options.healthOnly) {
      const route = ROUTES.find((each) => each.has(exchange.path));
      if (route !== undefined) {
        await route.handle(exchange, this.#options);
        return;
      }
    }
    throw new ConcordError("CONCORD_NOT_FOUND", `There is nothing at ${exchange.path.slice(0, 128)}`);
  }

  #fail(exchange: Exchange, error: unknown): void {
    if (!ConcordError.is(error) && !exchange.request.destroyed) {
      this.#options.logger.error("Request failed by a bug", { route: routeOf(exchange.path), error });
    }
    // What is left of a body that nobody read would be taken for the next request.
    if (!exchange.request.complete) exchange.response.setHeader("connection", "close");
    sendProblem(exchange.response, error);
  }
}

function isWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === "websocket";
}

/** A request that asks for no WebSocket. */
function refuseSession(exchange: Exchange): Promise<void> {
  exchange.allowMethods("GET");
  exchange.response.setHeader("upgrade", "websocket");
  return Promise.reject(new ConcordError("CONCORD_UPGRADE_REQUIRED"));
}

/** A name for those who measure. */
function routeOf(path: string): string {
  const route = ROUTES.find((each) => each.has(path));
  if (route !== undefined) return route.name;
  return ["/livez", "/readyz", "/startupz", "/health", "/version", "/metrics"].includes(path) ? path.slice(1) : "other";
}

/** What is not HTTP, or too slow, or too large for the parser, gets one answer and the end of its connection. */
function answerBroken(error: Error & { code?: string }, socket: Duplex): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const known =
    error.code === "HPE_HEADER_OVERFLOW"
      ? new ConcordError("CONCORD_HEADERS_TOO_LARGE")
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? new ConcordError("CONCORD_REQUEST_TOO_SLOW")
        : new ConcordError("CONCORD_INVALID_ARGUMENT", "The request is not valid HTTP/1.1");
  const body = JSON.stringify(problemOf(known));
  socket.end(
    `HTTP/1.1 ${problemOf(known).status} Refused\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
