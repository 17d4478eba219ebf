import { type IncomingHttpHeaders } from "node:http";
import { ConcordError } from "../../client/errors.ts";
import { type Logger } from "../../observability/log.ts";
import { connectionFacts } from "../connection.ts";
import { grpcStatus } from "../etcd/status.ts";
import { TIMER_MS_MAX } from "../grpc/call.ts";
import { parseTimeout } from "../grpc/headers.ts";
import { type CallFacts, type Method, type StreamMethod, type UnaryMethod } from "../grpc/method.ts";
import { DEADLINE_EXCEEDED, STATUS, type GrpcStatus } from "../grpc/status.ts";
import { badRequest, printable, type Exchange } from "../http/exchange.ts";
import { type RequestEvents } from "../request-events.ts";
import { ANSWER_HEADERS, errorBody, httpStatus } from "./answer.ts";
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";
import { parseJson } from "./json.ts";
import { utf8Text } from "./json-splitter.ts";
import { gatewayRoutes, type GatewayRoute } from "./routes.ts";
import { GatewayStream } from "./stream.ts";

export interface GatewayOptions {
  /** Largest message of a client as gRPC would send it, bytes. */
  readonly messageBytesMax: number;
  /** Told of every request. */
  readonly events: RequestEvents;
  readonly logger: Logger;
}

/** JSON takes more room than gRPC: a third for base64, and its names. */
const JSON_EXPANSION = 2;
/** Nobody waits for the answer any more. */
const CANCELLED: GrpcStatus = { code: STATUS.cancelled, details: "" };
const METADATA_PREFIX = "grpc-metadata-";

/**
 * etcd's JSON gateway: the methods of its gRPC API as POST requests. A request is read from JSON, takes the form that gRPC
 * would have sent, and goes to the same method; so there is one implementation, with one set of limits, behind both.
 */
export class Gateway {
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #routes = gatewayRoutes();
  readonly #options: GatewayOptions;

  /** @param methods - of the gRPC door, by their paths */
  constructor(methods: ReadonlyMap<string, Method>, options: GatewayOptions) {
    this.#methods = methods;
    this.#options = options;
  }

  /** Resolves when the answer is complete. Never rejects: what fails is answered. */
  async handle(exchange: Exchange): Promise<void> {
    const route = this.#routes.get(exchange.path);
    const method = route === undefined ? undefined : this.#methods.get(route.method);
    const { traceparent } = exchange.request.headers;
    const request = this.#options.events.begin("gateway", method?.name ?? "other", { ...method, traceparent });
    try {
      if (route === undefined || method === undefined) throw exchange.noSuchRoute();
      request.end(await request.run(() => this.#dispatch(exchange, route, method)));
    } catch (error) {
      // A body that broke off is nobody's bug, and nobody hears the answer.
      const broken = exchange.request.errored !== null;
      const status = broken ? CANCELLED : this.#statusOf(error);
      if (broken) exchange.response.destroy();
      else sendError(exchange, status);
      request.end(status.code);
    }
  }

  /** @returns The gRPC code that was answered. */
  async #dispatch(exchange: Exchange, route: GatewayRoute, method: Method): Promise<number> {
    if (exchange.method !== "POST") throw exchange.methodNotAllowed(["POST"]);
    refuseWebPages(exchange);
    const facts = callFacts(exchange);
    switch (method.type) {
      case "unary":
        return this.#unary(exchange, route, method, facts);
      case "stream":
        return this.#stream(exchange, route, method, facts);
    }
  }

  async #unary(exchange: Exchange, route: GatewayRoute, method: UnaryMethod, facts: CallFacts): Promise<number> {
    const text = utf8Text(await exchange.body(this.#jsonBytesMax));
    const request = this.#read(route, method.codec.decode, text);
    const late = facts.deadlineAt <= Date.now();
    const answer = late ? undefined : await beforeDeadline(method.handle(request, facts), facts.deadlineAt);
    if (answer === undefined) {
      sendError(exchange, DEADLINE_EXCEEDED);
      return DEADLINE_EXCEEDED.code;
    }
    exchange.sendBytes(encodeMessage(route.response, answer as object), ANSWER_HEADERS);
    return STATUS.ok;
  }

  #stream(exchange: Exchange, route: GatewayRoute, method: StreamMethod, facts: CallFacts): Promise<number> {
    return new Promise((resolve) => {
      new GatewayStream(exchange, facts, {
        route,
        open: method.open,
        read: (text) => this.#read(route, method.codec.decode, text),
        requestBytesMax: this.#jsonBytesMax,
        statusOf: (error) => this.#statusOf(error),
        closed: resolve,
      });
    });
  }

  #statusOf(error: unknown): GrpcStatus {
    if (!ConcordError.is(error)) this.#options.logger.error("Request failed by a bug", { route: "gateway", error });
    return grpcStatus(error);
  }

  get #jsonBytesMax(): number {
    return JSON_EXPANSION * this.#options.messageBytesMax;
  }

  /** An empty body is an empty message. */
  #read<Request>(route: GatewayRoute, decode: (bytes: Buffer) => Request, text: string): Request {
    const json = parseJson(text.trim() === "" ? "{}" : text);
    const bytes = route.serialize(decodeMessage(route.request, json));
    if (bytes.length > this.#options.messageBytesMax) throw new ConcordError("CONCORD_REQUEST_TOO_LARGE");
    return decode(bytes);
  }
}

/** Answers a request whose answer has not begun. */
function sendError(exchange: Exchange, status: GrpcStatus): void {
  const { request, response } = exchange;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  // What is left of a body that nobody read would be taken for the next request.
  if (!request.complete) response.setHeader("connection", "close");
  const body = Buffer.from(JSON.stringify(errorBody(status)));
  exchange.sendBytes(body, { "content-type": "application/json" }, httpStatus(status.code));
}

/**
 * etcd's clients send any content type, so that cannot keep the pages of other sites from acting for the person who looks
 * at them, as it does at the REST door. Browsers name the origin of every POST, and programs do not.
 */
function refuseWebPages({ request }: Exchange): void {
  if (request.headers.origin !== undefined) throw new ConcordError("CONCORD_PERMISSION_DENIED");
}

function callFacts({ request, response }: Exchange): CallFacts {
  const value = request.headers["grpc-timeout"];
  const timeoutMs = parseTimeout(value);
  if (timeoutMs === undefined) {
    throw badRequest(`The header Grpc-Timeout is "${printable(String(value))}", expected for example 500m or 5S`);
  }
  const end = new AbortController();
  response.once("close", () => end.abort());
  return {
    headers: metadataOf(request.headers),
    connection: connectionFacts(request.socket),
    deadlineAt: Date.now() + timeoutMs,
    signal: end.signal,
  };
}

/** Metadata are headers with a prefix. The idempotency key has the name here that it has at the REST door, too. */
function metadataOf(headers: IncomingHttpHeaders): CallFacts["headers"] {
  const metadata = Object.create(null) as Record<string, string | string[] | undefined>;
  metadata["idempotency-key"] = headers["idempotency-key"];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(METADATA_PREFIX)) metadata[name.slice(METADATA_PREFIX.length)] = value;
  }
  return metadata;
}

/** @returns Undefined when the time was over first. What was begun goes on, as it does when a client goes away. */
async function beforeDeadline<T>(answer: Promise<T>, deadlineAt: number): Promise<T | undefined> {
  if (deadlineAt === Number.POSITIVE_INFINITY) return answer;
  answer.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), Math.min(deadlineAt - Date.now(), TIMER_MS_MAX));
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
