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
import { type EventStream } from "./event-stream.ts";
import { Exchange } from "./exchange.ts";
import { PROBES } from "./health.ts";
import { openApiDocument } from "./openapi.ts";
import { type DoorContext } from "./operation.ts";
import { OPERATION_GROUPS } from "./operations.ts";
import { sendProblem } from "./problem.ts";
import { Refusals } from "./refusals.ts";
import { carryOut, Router } from "./router.ts";

export interface HttpDoorOptions extends Omit<DoorContext, "streams" | "openApiDocument"> {
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

/** REST, etcd's JSON gateway, admin and probes over HTTP/1.1, on connections that somebody else accepted. */
export class HttpDoor {
  readonly #server: Server;
  readonly #services: Services;
  readonly #options: HttpDoorOptions;
  readonly #context: DoorContext;
  readonly #router: Router;
  readonly #refusals = new Refusals();
  readonly #streams = new Set<EventStream>();

  constructor(services: Services, options: HttpDoorOptions) {
    this.#services = services;
    this.#options = options;
    let document: object | undefined;
    this.#context = {
      ...options,
      streams: this.#streams,
      openApiDocument: () => (document ??= openApiDocument(OPERATION_GROUPS, options.version)),
    };
    this.#router = new Router(options.healthOnly ? [PROBES] : OPERATION_GROUPS);
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
    this.#server.on("clientError", (error: Error & { code?: string }, socket) => this.#refusals.refuse(error, socket));
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
    this.#refusals.track(request, response);
    const exchange = new Exchange(request, response, this.#services);
    const route = this.#router.find(exchange.path);
    const gateway = this.#options.healthOnly ? undefined : this.#options.gateway;
    if (route === undefined && gateway !== undefined && isGatewayPath(exchange.path)) {
      await this.#serve(exchange, "gateway", () => gateway.handle(exchange));
      return;
    }
    // A name that no client can choose.
    const name = route?.place.group.name ?? "other";
    const { traceparent } = request.headers;
    const kind = name === "watch" ? "serverStream" : "unary";
    const open = this.#options.events.begin("http", name, { kind, traceparent });
    await open.run(() =>
      this.#serve(exchange, name, () => {
        if (route === undefined) throw exchange.noSuchRoute();
        return carryOut(route, exchange, this.#context);
      }),
    );
    open.end(response.statusCode);
  }

  /** Resolves when the answer is complete. Never rejects: what fails is answered. */
  async #serve(exchange: Exchange, name: string, handle: () => Promise<void>): Promise<void> {
    try {
      exchange.checkLimits();
      this.#limitBody(exchange);
      await handle();
    } catch (error) {
      this.#fail(exchange, name, error);
    }
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
      this.#fail(exchange, "session", error);
      open.end(response.statusCode);
    }
  }

  #limitBody(exchange: Exchange): void {
    const { request } = exchange;
    const { headers } = request;
    if (headers["content-length"] === undefined && headers["transfer-encoding"] === undefined) return;
    const timer = setTimeout(() => {
      if (request.complete || exchange.bodyStaysOpen) return;
      const late = Object.assign(new Error("The body is late"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
      this.#refusals.refuse(late, request.socket);
    }, this.#options.bodyTimeoutMs ?? BODY_TIMEOUT_MS);
    timer.unref();
    request.once("close", () => clearTimeout(timer));
  }

  #fail(exchange: Exchange, route: string, error: unknown): void {
    if (!ConcordError.is(error) && !exchange.request.destroyed) {
      this.#options.logger.error("Request failed by a bug", { route, error });
    }
    // What is left of a body that nobody read would be taken for the next request.
    if (!exchange.request.complete && !exchange.response.headersSent)
      exchange.response.setHeader("connection", "close");
    sendProblem(exchange.response, error);
  }
}

function isWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === "websocket";
}
